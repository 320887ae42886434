"""Writes the program of README.md into the folder of a module that uses the client, for programs.py of the suite.

python clients/go/readme.py FOLDER
"""

import pathlib
import re
import sys

# What the arguments behind the first three mean: the files for mutual TLS.
TLS = """
func certificates() []shardstream.Option {
	if len(os.Args) < 5 {
		return nil
	}
	config, err := shardstream.LoadTLS(os.Args[4], os.Args[5], os.Args[6])
	if err != nil {
		log.Fatal(err)
	}
	return []shardstream.Option{shardstream.WithTLS(config)}
}
"""


def main(folder):
    """The program with the server, table and file of its arguments."""
    readme = (pathlib.Path(__file__).parent / "README.md").read_text()
    program = re.search(r"```go\n(package main\n.*?)```", readme, re.DOTALL)[1]
    for old, new in (
        ('NewClient("localhost:50051")', "NewClient(os.Args[1], certificates()...)"),
        ('"orders"', "os.Args[2]"),
        ('"orders.token"', "os.Args[3]"),
        ('\t"log"\n', '\t"log"\n\t"os"\n'),
    ):
        assert program.count(old) == 1, old
        program = program.replace(old, new)
    (pathlib.Path(folder) / "main.go").write_text(program + TLS)


if __name__ == "__main__":
    main(*sys.argv[1:])
