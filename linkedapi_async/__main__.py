"""Lets ``python -m linkedapi_async`` be the command ``linkedapi``."""

from linkedapi_async.cli import main


if __name__ == "__main__":
    main()
