package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// wants says what a setting wants, by the name of its type.
func wants(typ string) string {
	switch {
	case typ == "bool":
		return "true or false"
	case typ == "int64":
		return "a whole number"
	case typ == "time.Duration":
		return "a time such as 168h or 30m"
	case strings.HasPrefix(typ, "[]"):
		return "a list"
	case strings.HasPrefix(typ, "main."):
		return "settings below it"
	}
	return "text"
}

var (
	unknownSetting = regexp.MustCompile(`^line (\d+): field (.*) not found in type `)
	wrongType      = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into (\S+)$`)
)

// maxQuoted bounds what is shown of a line, in bytes.
const maxQuoted = 80

// plainYAML says what is wrong with a configuration in its own words, not in those of the types that it is read into.
func plainYAML(text []byte, err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err
	}
	lines := bytes.Split(text, []byte("\n"))
	var out []string
	for _, e := range te.Errors {
		if m := unknownSetting.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: there is no setting %s here", m[1], m[2])
		} else if m := wrongType.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: want %s", m[1], wants(m[2]))
			if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(lines) {
				line := strings.ToValidUTF8(string(bytes.TrimSpace(lines[n-1])), "")
				e += fmt.Sprintf(", have “%.*s”", maxQuoted, line)
			}
		}
		out = append(out, e)
	}
	return errors.New(strings.Join(out, "; "))
}
