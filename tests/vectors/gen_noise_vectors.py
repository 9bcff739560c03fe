#!/usr/bin/python3
"""Turns Noise test vectors (JSON) into a table for test_noise.c.

usage: gen_noise_vectors.py VECTORS.json HEADER.h

The vectors are those of cacophony (public domain; the file names its source).
Bytes stay hexadecimal: the test decodes them.
"""

import json
import sys

FIELDS = ("init_prologue", "init_static", "init_ephemeral",
          "resp_prologue", "resp_static", "resp_ephemeral",
          "handshake_hash")


def quoted(text):
    """A C string, broken where the standard's limits and eyes want it."""
    parts = [text[i:i + 64] for i in range(0, len(text), 64)] or [""]
    return "\n\t\t    ".join(f'"{part}"' for part in parts)


def vector(v):
    _, pattern, _, cipher, hash_name = v["protocol_name"].split("_")
    lines = [f'\t\t.pattern = "{pattern}",',
             f'\t\t.cipher = "{cipher}",',
             f'\t\t.hash = "{hash_name}",']
    lines += [f"\t\t.{name} = {quoted(v[name])}," for name in FIELDS]
    if "init_psks" in v:
        assert v["init_psks"] == v["resp_psks"] and len(v["init_psks"]) == 1
        lines.append(f"\t\t.psk = {quoted(v['init_psks'][0])},")
    lines.append("\t\t.messages = {")
    for m in v["messages"]:
        lines.append(f"\t\t\t{{ {quoted(m['payload'])},")
        lines.append(f"\t\t\t  {quoted(m['ciphertext'])} }},")
    lines.append("\t\t},")
    return "\t{\n" + "\n".join(lines) + "\n\t},\n"


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        vectors = json.load(f)["vectors"]
    with open(target, "w", encoding="utf-8") as f:
        f.write("/* Made by gen_noise_vectors.py. */\n")
        f.write("static const struct noise_vector noise_vectors[] = {\n")
        f.writelines(vector(v) for v in vectors)
        f.write("};\n")


if __name__ == "__main__":
    main()
