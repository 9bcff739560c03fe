"""Says what the unit tests did: a line a program, failures in full.

usage: unit_report.py TESTLOG COUNTS

TESTLOG is meson's testlog.json; the programs' output is TAP (cmocka's), and
each of their cases counts. Programs without TAP count as one case.
"""

import json
import re
import sys

CASE = re.compile(r"^(not ok|ok) \d+(.*)$", re.MULTILINE)


def count(test):
    """(passed, failed, skipped) of one program."""
    passed = failed = skipped = 0
    for outcome, rest in CASE.findall(test.get("stdout", "")):
        if "# SKIP" in rest.upper():  # cmocka: not ok N # SKIP name
            skipped += 1
        elif outcome == "not ok":
            failed += 1
        else:
            passed += 1
    if test["result"] == "SKIP" and not skipped:
        skipped = 1
    elif test["result"] == "OK":
        passed = passed or (0 if skipped else 1)
    elif test["result"] != "SKIP":
        failed = failed or 1  # it crashed, or took too long
    return passed, failed, skipped


def main():
    totals = [0, 0, 0]
    try:
        with open(sys.argv[1]) as log:
            tests = [json.loads(line) for line in log]
    except FileNotFoundError:
        return 1
    for test in tests:
        counts = count(test)
        totals = [sum(pair) for pair in zip(totals, counts)]
        passed, failed, skipped = counts
        word = "FAIL" if failed else "ok  "
        extra = f", {failed} failed" if failed else ""
        extra += f", {skipped} skipped" if skipped else ""
        name = test["name"].split(" / ")[-1]
        print(f"{word} {name}: {passed} passed{extra} "
              f"({test['duration']:.2f} s)")
        if failed:
            print(test.get("stdout", "") + test.get("stderr", ""))
            print(f"result: {test['result']}, "
                  f"exit status {test['returncode']}")
    with open(sys.argv[2], "w") as counts:
        print(*totals, file=counts)
    return 0 if tests else 1


sys.exit(main())
