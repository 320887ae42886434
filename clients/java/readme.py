"""Writes the program of README.md into the folder of a project that uses the client, for programs.py of the suite.

python clients/java/readme.py FOLDER
"""

import pathlib
import re
import sys

# What the arguments behind the first three mean: the files for mutual TLS.
TLS = """
    private static Client connect(String[] arguments) {
        Client.Builder builder = Client.builder(arguments[0]);
        if (arguments.length > 3) {
            builder.tls(new shardstream.Tls(Path.of(arguments[3]), Path.of(arguments[4]), Path.of(arguments[5])));
        }
        return builder.build();
    }
}
"""

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>user</groupId>
  <artifactId>user</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    %s
  </dependencies>
</project>
"""


def main(folder):
    """The program with the server, table and file of its arguments."""
    readme = (pathlib.Path(__file__).parent / "README.md").read_text()
    program = re.search(r"```java\n(import .*?)```", readme, re.DOTALL)[1]
    for old, new in (
        ('Client.connect("localhost:50051")', "connect(arguments)"),
        ('"orders"', "arguments[1]"),
        ('"orders.token"', "arguments[2]"),
    ):
        assert program.count(old) == 1, old
        program = program.replace(old, new)
    sources = pathlib.Path(folder) / "src" / "main" / "java"
    sources.mkdir(parents=True)
    (sources / "Orders.java").write_text(program.rstrip().removesuffix("}") + TLS)
    dependency = re.search(r"```xml\n(.*?)```", readme, re.DOTALL)[1]
    (pathlib.Path(folder) / "pom.xml").write_text(POM % dependency)


if __name__ == "__main__":
    main(*sys.argv[1:])
