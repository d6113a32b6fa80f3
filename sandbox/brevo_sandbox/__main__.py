"""Makes `python -m brevo_sandbox` the command."""

from brevo_sandbox.commands import sandbox

if __name__ == "__main__":
    sandbox(prog_name="python -m brevo_sandbox")
