"""spark-submit jobs/explore.py: the same options as `movierate explore`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["explore", *sys.argv[1:]], profile="cluster")
