"""etcd's account against root: swaps what is in its data directory for links to elsewhere, as fast as it can, until a
file `stop` is there. Its own `swapping`, in that directory, says that it has begun."""

import os
import sys

data, elsewhere, stop = sys.argv[1:]
NAMES = ["kiln-restore.new", "kiln-restore", "kiln-before-g1", "member", "kiln-cluster.new", "kiln-restoring.new"]


def attempt(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass


open(os.path.join(data, "swapping"), "x").close()
while not os.path.exists(stop):
    for name in NAMES:
        path = os.path.join(data, name)
        aside = os.path.join(data, "aside-" + name)
        attempt(os.rename, path, aside)
        attempt(os.symlink, elsewhere, path)
        attempt(os.unlink, path)
        attempt(os.rename, aside, path)
