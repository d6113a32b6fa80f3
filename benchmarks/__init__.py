"""What pushledger costs, beside two Celery recipes, in one run: `make bench`."""
