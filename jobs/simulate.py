"""spark-submit jobs/simulate.py: the same options as `movierate simulate`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["simulate", *sys.argv[1:]], profile="cluster")
