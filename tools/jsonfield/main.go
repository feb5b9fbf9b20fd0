// Command jsonfield prints one field of the JSON object on its standard input: `jsonfield result.sha256`.
// Our scripts use it so that nobody has to install a JSON tool for them.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "jsonfield:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: jsonfield field.field... < object")

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	d := json.NewDecoder(in)
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	for name := range strings.SplitSeq(args[0], ".") {
		object, _ := value.(map[string]any)
		inner, ok := object[name]
		if !ok {
			return fmt.Errorf("no field %q on the way to %s", name, args[0])
		}
		value = inner
	}
	_, err := fmt.Fprintln(out, value)
	return err
}
