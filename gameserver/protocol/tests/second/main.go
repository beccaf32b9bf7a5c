// A second implementation of what game clients and game servers say to each other, in another language and by another
// hand than the first: netcode 1.02 from its standard, the game's messages from their description. Tests of this
// repository run it; nothing else does.
//
//	second vectors DIRECTORY              reads and writes every golden vector
//	second play TOKEN REPORT SECONDS      plays on the server of a connect token and writes what it saw
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "second:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "vectors":
		return vectors(args[1])
	case len(args) == 4 && args[0] == "play":
		seconds, err := strconv.ParseFloat(args[3], 64)
		if err != nil {
			return err
		}
		report, err := playAll(args[1], time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		text, err := json.Marshal(report)
		if err != nil {
			return err
		}
		return os.WriteFile(args[2], text, 0o600)
	}
	return fmt.Errorf("usage: second vectors DIRECTORY | second play TOKEN REPORT SECONDS")
}
