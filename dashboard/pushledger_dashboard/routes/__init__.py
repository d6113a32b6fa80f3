"""The routes of the JSON API, a module a noun."""
