"""Where the program starts and ends: signals, one error handler, exit codes that `git bisect run` cannot mistake.

0 and what each command says below 128; then 129 usage or bad input, 130 interrupted, 131 infrastructure, 132 internal.
`git bisect run` takes 1-127 except 125 for "bad", so a typo or a full disk must never end there.
"""

from __future__ import annotations

import sys
import traceback

USAGE, INTERRUPTED, INFRASTRUCTURE, INTERNAL = 129, 130, 131, 132


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; the answer is the exit code. Never raises."""
    try:
        from bot.host.withheld import withhold

        withhold()
        import click

        from bot import cli
        from bot.core.plain import clean
        from bot.errors import InfraError, Stopped, UserError
    except Exception:
        traceback.print_exc()
        return INTERNAL
    try:
        code = cli.bot.main(args=arguments, prog_name="bot", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return USAGE
    except (Stopped, KeyboardInterrupt, click.Abort) as error:
        why = str(error) or "stopped"
        print(f"bot: {why}; what was recorded is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"bot: {clean(str(error))}", file=sys.stderr)
        return USAGE
    except InfraError as error:
        print(
            f"bot: {clean(str(error))}\nbot: no verdict was made from this; the same command goes on from there",
            file=sys.stderr,
        )
        return INFRASTRUCTURE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"bot: {place}{error.strerror or error}", file=sys.stderr)
        return INFRASTRUCTURE
    except Exception:
        traceback.print_exc()
        print("bot: this is a fault of bot itself; please report the lines above", file=sys.stderr)
        return INTERNAL


if __name__ == "__main__":
    main()
