"""The table of real programs (its other half: programs_more.py).

A row's script is run by bash in a directory with the material that
program_help.py makes (f, g, h: files; x: with attributes and an ACL; s: sparse;
t: a tree with links; work: names that programs use while writing), with $TO the
directory to write to: first an ordinary one, then a peer's folder. Expected at
the peer, and in the sender's listing, is what the ordinary directory has then:
names, contents, modes, attributes, links, and times where the program has set
them. A row says only what differs, and then why:

    before    a script that is run first, and succeeds
    status    the exit status; None: any but 0
    elsewhere the exit status in an ordinary directory, if another one
    stderr    a pattern; nothing may be said there if there is none
    keeps     the peer keeps what `before` has made, and gets no more
    lacks     patterns of what does not arrive
    adds      what arrives all the same: {path: bytes, or None for any}
    forgets   patterns of what the sender does not list any more
    seen      the sizes at which else a name may be seen at the peer for a
              while: {pattern: sizes, None for any}. Everything else is
              forbidden: another name, or another size than the last.
    late      when the program ends, its files need not have been shown yet
    sparse    files that must take no more blocks there
    marks     pytest's
"""

from dataclasses import dataclass, field

F, G, H, T_B = 228894, 1048593, 168894, 288  # sizes in the material


@dataclass(frozen=True)
class Row:
    name: str
    command: str
    before: str = ""
    status: object = 0
    elsewhere: object = None
    stderr: str = ""
    why: str = ""
    keeps: bool = False
    lacks: tuple = ()
    adds: dict = field(default_factory=dict)
    forgets: tuple = ()
    seen: dict = field(default_factory=dict)
    late: bool = False
    sparse: tuple = ()
    marks: str = ""


COPIES = [
    Row("cp", 'cp f "$TO"', marks="quick"),
    Row("cp of many", 'cp f g h main.c "$TO"'),
    Row("cp -p", 'cp -p f "$TO"'),
    Row("cp -a with an ACL and attributes", 'cp -a x "$TO"'),
    Row("cp -a of a tree", 'cp -a t "$TO"', marks="quick sanitize"),
    Row("cp -r of a tree with links", 'cp -r t "$TO"'),
    Row("cp -rL", 'rm t/dangling; cp -rL t "$TO"'),
    Row("cp --sparse=always", 'cp --sparse=always s "$TO"', sparse=("s",)),
    Row("cp -a of a sparse file", 'cp -a s "$TO"', sparse=("s",)),
    Row("cp --attributes-only", 'cp --attributes-only -p f "$TO"'),
    Row("cp over what was sent", 'cp g "$TO/n"', before='cp f "$TO/n"',
        seen={"n": [F]}, marks="quick sanitize"),
    Row("cp of the same again", 'cp f "$TO/n"', before='cp f "$TO/n"'),
    Row("cp -f over what was sent", 'cp -f g "$TO/n"', before='cp f "$TO/n"',
        seen={"n": [F]}),
    Row("cp --remove-destination", 'cp --remove-destination g "$TO/n"',
        before='cp f "$TO/n"', seen={"n": [F]}),
    Row("cp -n", 'cp -n g "$TO/n"', before='cp f "$TO/n"'),
    Row("cp -u", 'cp -u h "$TO/n"', before='cp -p f "$TO/n"'),
    Row("cp --backup", 'cp --backup=simple g "$TO/n"', before='cp f "$TO/n"',
        seen={"n": [F]}, late=True),
    Row("cp a.tmp", 'cp work/a.tmp "$TO"', late=True, marks="quick sanitize"),
    Row("cp b~", 'cp work/b~ "$TO"', late=True, marks="quick"),
    Row("cp of every name in use", 'cp work/* work/.[!.]* "$TO"', late=True),
    Row("cp -r of a tree with names in use", 'cp -r work "$TO"', late=True),
    Row("cp -a of names in use", 'cp -a work/.[!.]* work "$TO"', late=True),
    Row("cp -r of links that leave", 'cp -r out "$TO"', status=1,
        stderr="cannot create symbolic link .*out/above.*: Operation not "
               "permitted(?s:.*)", elsewhere=0,
        lacks=("out/above", "out/absolute"),
        why="A link could point at anything on the other machine; only links "
            "that stay inside what is being sent are carried. The rest of the "
            "tree arrives."),
    Row("cp of a link to the top", 'cp -P t/link "$TO"', status=1, keeps=True,
        stderr="Operation not permitted",
        why="There is no directory being sent that it could stay inside."),
    Row("cp -a of hard links", 'cp -a hard/a hard/b "$TO"', status=1,
        elsewhere=0, lacks=("b",),
        stderr="cannot create hard link .*: Operation not permitted",
        why="One file with two names cannot be sent; the first name arrives. "
            "cp -r --no-preserve=links sends both."),
    Row("cp -r --no-preserve=links",
        'cp -a --no-preserve=links hard "$TO"'),
    Row("cp -a of a FIFO", 'mkfifo p; cp -a p "$TO"', status=1, keeps=True,
        stderr="Operation not permitted|not supported",
        why="It is no file: nothing could come out at the other end."),
    Row("install", 'install -m 751 f "$TO"', marks="quick"),
    Row("install -p", 'install -p -m 600 f "$TO"'),
    Row("install -D", 'install -D -m 644 h "$TO/usr/share/doc/h"'),
    Row("install over what was sent", 'install -m 644 g "$TO/n"',
        before='install -m 644 f "$TO/n"', seen={"n": [F]}),
    Row("ln", 'ln "$TO/f" "$TO/g"', before='cp f "$TO"', status=1, keeps=True,
        stderr="Operation not permitted",
        why="One file with two names cannot be sent."),
    Row("ln -s", 'mkdir -p "$TO/d/e"; ln -s x "$TO/d/y"; '
        'ln -s ../x "$TO/d/e/z"; ln -sfn e "$TO/d/y"', seen={"d/*": [-1]}),
    Row("ln -s in the top", 'ln -s x "$TO/y"', status=1, keeps=True,
        stderr="Operation not permitted",
        why="There is no directory being sent that it could stay inside."),
    Row("mkfifo", 'mkfifo "$TO/p"', status=1, keeps=True,
        stderr="Operation not permitted|not supported",
        why="It is no file: nothing could come out at the other end."),
    Row("mknod", 'mknod "$TO/null" c 1 3', status=1, keeps=True,
        stderr="Operation not permitted|not supported",
        why="A device of this machine means nothing on another."),
    Row("mkdir -p", 'mkdir -p "$TO/a/b/c/d" "$TO/a/e"; chmod 700 "$TO/a/e"; '
        'touch -d 2020-02-02 "$TO/a"'),
    Row("mkdir and rmdir", 'mkdir -p "$TO/a/b"; rmdir "$TO/a/b" || exit; '
        '$PY -c "import os; p = os.environ[\'TO\'] + \'/c\'; os.mkdir(p); '
        'os.rmdir(p)"', forgets=("a/b",), adds={"a/b": None},
        seen={"c": [-1]}, late=True,
        why="What another program than its maker removes is only forgotten "
            "here; the maker's own rmdir takes it back."),
    Row("mkdir .Trash-1000", 'mkdir "$TO/.Trash-1000"', status=1, keeps=True,
        stderr="Operation not permitted",
        why="Trash on another machine is nobody's; so file managers offer to "
            "delete instead."),
]

MOVES = [
    Row("mv of a file", 'mv f "$TO"; ! [ -e f ]', marks="quick"),
    Row("mv of a tree", 'mv t "$TO"; ! [ -e t ]'),
    Row("mv of names in use", 'mv work/* work/.[!.]* "$TO"', late=True),
    Row("mv of a tree with names in use", 'mv work "$TO"; ! [ -e work ]',
        late=True),
    Row("mv of a sparse file", 'mv s "$TO"', sparse=("s",)),
    Row("mv over what was sent", 'mv g "$TO/n"', before='cp f "$TO/n"',
        seen={"n": [F]}),
    Row("mv of what was sent", 'mv "$TO/n" "$TO/m"', before='cp f "$TO/n"',
        seen={"n": [F]}, marks="quick"),
    Row("mv of what was sent over what was sent", 'mv "$TO/n" "$TO/m"',
        before='cp f "$TO/n"; cp g "$TO/m"', seen={"n": [F], "m": [G]}),
    Row("mv into a sent directory", 'mv "$TO/n" "$TO/d/n"',
        before='mkdir "$TO/d"; cp f "$TO/n"', seen={"n": [F]}),
    Row("mv out of a sent directory", 'mv "$TO/t/sub/b" "$TO/b"',
        before='cp -r t "$TO"', seen={"t/sub/b": [T_B]}),
    Row("mv of a sent directory", 'mv "$TO/t" "$TO/u"',
        before='cp -r t "$TO"', seen={"t": [-1], "t/*": None}),
    Row("mv of a sent directory into another", 'mv "$TO/t/sub" "$TO/t/empty"',
        before='cp -r t "$TO"', seen={"t/*": None}),
    Row("mv to a name in use", 'mv "$TO/n" "$TO/n.tmp"', before='cp f "$TO/n"',
        seen={"n": [F]}, late=True),
    Row("mv of what is still written",
        'exec 3>"$TO/log"; echo one >&3; mv "$TO/log" "$TO/log.1"; '
        'exec 4>"$TO/log"; echo two >&3; echo three >&4; exec 3>&- 4>&-'),
    Row("mv of a log that goes on",
        'echo one >>"$TO/log"; mv "$TO/log" "$TO/log.1"; '
        'echo two >>"$TO/log"; echo three >>"$TO/log.1"',
        seen={"log": [4], "log.1": [4]}),
    Row("mv from a name in use", 'echo whole >"$TO/n.part"; '
        'mv "$TO/n.part" "$TO/n"', marks="quick"),
    Row("mv from a name in use, later", 'mv "$TO/n.part" "$TO/n"',
        before='cp f "$TO/n.part"', seen={"n.part": [F]}),
    Row("mv --exchange by python", '$PY -c "import os; '
        'os.chdir(os.environ[\'TO\']); os.rename(\'n\', \'k\'); '
        'os.rename(\'m\', \'n\'); os.rename(\'k\', \'m\')"',
        before='cp f "$TO/n"; cp g "$TO/m"',
        seen={"n": [F], "m": [G], "k": [F]}),
    Row("rm of what was sent", 'rm "$TO/n"', before='cp f "$TO/n"', keeps=True,
        forgets=("n",),
        why="It is the peer's now; here it is only forgotten."),
    Row("rm -r of a sent tree", 'rm -r "$TO/t"', before='cp -r t "$TO"',
        keeps=True, forgets=("t", "t/*"),
        why="It is the peer's now; here it is only forgotten."),
]

RSYNC = [
    Row("rsync", 'rsync f "$TO/"'),
    Row("rsync -a", 'rsync -a t "$TO/"', marks="quick sanitize"),
    Row("rsync -a of a file", 'rsync -a f "$TO/"'),
    Row("rsync -aX", 'rsync -aX x "$TO/"'),
    Row("rsync -aS", 'rsync -aS s "$TO/"', sparse=("s",)),
    Row("rsync -a of names in use", 'rsync -a work "$TO/"', late=True),
    Row("rsync --inplace", 'rsync -a --inplace f "$TO/"'),
    Row("rsync --inplace over what was sent", 'rsync -a --inplace g "$TO/n"',
        before='cp f "$TO/n"', seen={"n": [F]}),
    Row("rsync --partial --append-verify",
        'rsync -a --partial --append-verify f "$TO/"'),
    Row("rsync --append-verify over what was sent",
        'rsync -a --append-verify f "$TO/"',
        before='head -c 90000 f >"$TO/f"', seen={"f": [90000]},
        stderr="failed to open .*, continuing: Permission denied"),
    Row("rsync --delay-updates", 'rsync -a --delay-updates t "$TO/"',
        seen={"*.~tmp~*": None}),
    Row("rsync again", 'rsync -a t "$TO/"', before='rsync -a t "$TO/"'),
    Row("rsync again what has changed", 'seq 3 >t/a; rsync -a t "$TO/"',
        before='rsync -a t "$TO/"', seen={"t/a": None}),
    Row("rsync --backup", 'rsync -a --backup g "$TO/n"',
        before='rsync -a f "$TO/n"', seen={"n": [F]}, late=True),
    Row("rsync -aH", 'rsync -aH hard "$TO/"', status=23, elsewhere=0,
        stderr="Operation not permitted", lacks=("hard/a",),
        why="One file with two names cannot be sent; one of them arrives."),
    Row("rsync --remove-source-files", 'rsync -a --remove-source-files t '
        '"$TO/"; ! [ -e t/a ]'),
]

ARCHIVES = [
    Row("tar x", 'tar xf t.tar -C "$TO"', seen={"t/sub/up": [0]},
        marks="quick"),
    Row("tar x of hard links", 'tar xf hard.tar -C "$TO"', status=2,
        elsewhere=0, stderr="Cannot hard link to .*: Operation not permitted",
        lacks=("hard/b",),
        why="One file with two names cannot be sent; the first name arrives."),
    Row("tar x of links that leave", 'tar xf out.tar -C "$TO"', status=2,
        elsewhere=0, stderr="Cannot create symlink .*: Operation not permitted",
        lacks=("out/above", "out/absolute"), seen={"out/a*": [0]},
        why="A link could point at anything on the other machine."),
    Row("tar x over what was sent", 'tar xf t.tar -C "$TO"',
        before='tar xf t.tar -C "$TO"',
        seen={"t/sub/up": [0, -1], "t/sub/up (2)": [0]}),
    Row("tar c", 'tar cf "$TO/n.tar" t f'),
    Row("tar cz", 'tar czf "$TO/n.tgz" t f'),
    Row("tar r of what was sent", 'tar rf "$TO/n.tar" f',
        before='tar cf "$TO/n.tar" t', status=2, keeps=True,
        stderr="Permission denied|Cannot read",
        why="It reads what was delivered, to find the end of the archive."),
    Row("unzip", 'unzip -q t.zip -d "$TO"'),
    Row("unzip of links", 'unzip -q links.zip -d "$TO"', elsewhere=0,
        stderr="deferred symlink .* failed", adds={
            "t/link": b"a", "t/dir": b"sub", "t/dangling": b"nowhere",
            "t/sub/up": b"../a"},
        why="It writes where they point to into files, and reads these again "
            "to make the links; the files stay."),
    # -X: without the times at which somebody read them.
    Row("zip", 'zip -q -X -r "$TO/n.zip" t h', seen={"n.zip": [0]},
        marks="quick"),
    Row("zip -u", 'zip -q -u "$TO/n.zip" g >&2', before='zip -q "$TO/n.zip" h',
        status=15, keeps=True, stderr="Permission denied",
        seen={"n.zip": [0]},
        why="It reads what was delivered; and it may not replace what it was "
            "not allowed to read."),
    Row("gzip to it", 'gzip -nc f >"$TO/f.gz"'),
    Row("gzip of what was sent", 'gzip -k "$TO/f"', before='cp f "$TO"',
        status=1, keeps=True, stderr="Permission denied",
        why="It reads what was delivered."),
    Row("xz", 'xz -kc f >"$TO/f.xz"; xz -dc "$TO/f.xz" 2>/dev/null; :'),
    Row("git archive", 'git -C repo archive -o "$TO/n.tar" HEAD'),
    Row("git bundle", 'git -C repo bundle create -q "$TO/n.bundle" HEAD',
        seen={"n.bundle.lock": None}),
    Row("git clone --bare", 'git clone -q --bare repo "$TO/n.git"', status=128,
        keeps=True, stderr="Permission denied", seen={"n.git*": None},
        why="git reads back the configuration that it has just written; and "
            "it takes away what it has made."),
]

ROWS = COPIES + MOVES + RSYNC + ARCHIVES
