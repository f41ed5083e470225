"""spark-submit jobs/demo.py: the same options as `movierate demo`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["demo", *sys.argv[1:]], profile="cluster")
