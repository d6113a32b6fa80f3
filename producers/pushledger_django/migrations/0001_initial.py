"""Makes the outbox's table."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The table, and the indexes by which the oldest rows are found."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("account", models.CharField(max_length=64)),
                ("local_id", models.CharField(max_length=512)),
                ("job_id", models.CharField(max_length=512)),
                ("verb", models.CharField(max_length=8)),
                ("job", models.TextField()),
                ("added_at", models.BigIntegerField()),
                ("free_at", models.BigIntegerField()),
                ("taken_by", models.CharField(max_length=32)),
                ("revision", models.BigIntegerField(null=True)),
                ("handed_at", models.BigIntegerField(null=True)),
                ("refused_at", models.BigIntegerField(null=True)),
                ("error", models.TextField()),
            ],
            options={
                "verbose_name": "row of the outbox",
                "verbose_name_plural": "outbox",
                "db_table": "pushledger_outbox",
                "indexes": [
                    models.Index(fields=["account", "local_id", "id"], name="pushledger_outbox_order"),
                    models.Index(fields=["account", "id"], name="pushledger_outbox_oldest"),
                ],
            },
        ),
    ]
