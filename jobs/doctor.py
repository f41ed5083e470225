"""spark-submit jobs/doctor.py: the same options as `movierate doctor`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]], profile="cluster")
