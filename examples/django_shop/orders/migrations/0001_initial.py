"""Makes the table of orders."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The table."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("number", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("visitor_id", models.CharField(max_length=128)),
                ("status", models.CharField(default="received", max_length=16)),
                ("version", models.PositiveIntegerField(default=1)),
            ],
        ),
    ]
