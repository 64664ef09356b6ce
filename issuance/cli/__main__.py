"""`python -m issuance.cli`: the command line without its console script."""

from issuance.cli.main import main

if __name__ == "__main__":
    main()
