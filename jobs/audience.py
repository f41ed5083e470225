"""spark-submit jobs/audience.py: the same options as `movierate audience`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["audience", *sys.argv[1:]], profile="cluster")
