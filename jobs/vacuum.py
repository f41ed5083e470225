"""spark-submit jobs/vacuum.py: the same options as `movierate vacuum`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["vacuum", *sys.argv[1:]], profile="cluster")
