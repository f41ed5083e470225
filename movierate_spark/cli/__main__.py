"""``python -m movierate_spark.cli``: the command line for a machine on whose path ``movierate`` is not."""

from movierate_spark.cli import main

if __name__ == "__main__":
    main()
