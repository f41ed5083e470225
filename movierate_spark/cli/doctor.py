"""doctor: checks of this machine."""

from __future__ import annotations

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.run import Run


@app.command()
def doctor() -> None:
    """Check whether this machine is ready.

    Checks Java, Python, PySpark, Spark, memory, time zone and paths, and says how to fix what is wrong.
    """
    from movierate_spark.cli.examination import examine
    from movierate_spark.progress import plain_console

    console = plain_console(soft_wrap=True)
    findings = examine()
    for finding in findings:
        state = "fine" if finding.fine else "FIX "
        remedy = "" if finding.fine else f": {finding.remedy}"
        console.print(f"{state}  {finding.subject}: {finding.value}{remedy}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(2)
    with Run("doctor", None).without_spark():
        pass
