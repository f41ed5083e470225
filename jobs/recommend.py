"""spark-submit jobs/recommend.py: the same options as `movierate recommend`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["recommend", *sys.argv[1:]], profile="cluster")
