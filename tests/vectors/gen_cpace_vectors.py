#!/usr/bin/python3
"""Turns CPace test vectors (JSON) into a table for test_cpace.c.

usage: gen_cpace_vectors.py VECTORS.json HEADER.h

The vectors are those of draft-irtf-cfrg-cpace (the file names its source), for
CPACE-RISTR255-SHA512. Every field becomes a row: its name, those of the objects
it stands in before it, and its bytes, which stay hexadecimal.
"""

import json
import sys


def rows(value, name=""):
    if isinstance(value, str):
        yield name, value
    else:
        for key, inner in value.items():
            yield from rows(inner, f"{name}/{key}" if name else key)


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        vectors = json.load(f)
    del vectors["source"]
    with open(target, "w", encoding="utf-8") as f:
        f.write("/* Made by gen_cpace_vectors.py. */\n")
        f.write("static const struct cpace_vector cpace_vectors[] = {\n")
        for name, value in rows(vectors):
            f.write(f'\t{{ "{name}",\n\t  "{value}" }},\n')
        f.write("};\n")


if __name__ == "__main__":
    main()
