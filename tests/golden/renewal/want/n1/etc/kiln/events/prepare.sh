# Made by Kiln for n1 of golden: what the guard needs of root.
set -u
# Below, `true >FILE` and not `: >FILE`: a special builtin that cannot open its file ends the shell (POSIX, 2.8.1).
