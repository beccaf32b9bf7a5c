package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// vector is one message: what it says and the bytes that say it.
type vector struct {
	Name string `json:"name"`
	// Message is "inputs", "snapshot" or "resume".
	Message string `json:"message"`
	// Fields are missing when the bytes say nothing: then whoever reads them has to refuse.
	Fields json.RawMessage `json:"fields"`
	// Read: only to be read; nobody writes it so.
	Read  bool     `json:"read"`
	Bytes []string `json:"bytes"`
}

// spelled gives the bytes that are spelled out as "9a 01 ff*1024".
func spelled(lines []string) ([]byte, error) {
	var all []byte
	for _, word := range strings.Fields(strings.Join(lines, " ")) {
		digits, count, repeated := strings.Cut(word, "*")
		some, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		times := 1
		if repeated {
			if times, err = strconv.Atoi(count); err != nil {
				return nil, err
			}
		}
		all = append(all, bytes.Repeat(some, times)...)
	}
	return all, nil
}

// resumeFields are a resume token as it stands in vectors: long fields are one byte again and again.
type resumeFields struct {
	CreateUnix     uint64 `json:"create_unix"`
	ExpireUnix     uint64 `json:"expire_unix"`
	Nonce          byte   `json:"nonce"`
	Private        byte   `json:"private_token"`
	TimeoutSeconds int32  `json:"timeout_seconds"`
	ClientToServer byte   `json:"client_to_server_key"`
	ServerToClient byte   `json:"server_to_client_key"`
}

func (f resumeFields) token() resume {
	m := resume{CreateUnix: f.CreateUnix, ExpireUnix: f.ExpireUnix, TimeoutSeconds: f.TimeoutSeconds}
	for _, long := range []struct {
		to   []byte
		with byte
	}{
		{m.Nonce[:], f.Nonce}, {m.Private[:], f.Private},
		{m.ClientToServer[:], f.ClientToServer}, {m.ServerToClient[:], f.ServerToClient},
	} {
		copy(long.to, bytes.Repeat([]byte{long.with}, len(long.to)))
	}
	return m
}

// agree compares what was read with what is said, and what is written with what stands there.
func agree[T any](v vector, raw []byte, read T, err error, said T, write func(T) []byte) error {
	if err != nil {
		return fmt.Errorf("is refused: %w", err)
	}
	one, _ := json.Marshal(read)
	other, _ := json.Marshal(said)
	if !bytes.Equal(one, other) {
		return fmt.Errorf("reads\n%s\ninstead of\n%s", one, other)
	}
	if written := write(said); !v.Read && !bytes.Equal(written, raw) {
		return fmt.Errorf("is written\n%x\ninstead of\n%x", written, raw)
	}
	return nil
}

func check(v vector) error {
	raw, err := spelled(v.Bytes)
	if err != nil {
		return err
	}
	strictly := json.NewDecoder(bytes.NewReader(v.Fields))
	strictly.DisallowUnknownFields()
	refused := func(err error) error {
		if err == nil {
			return errors.New("is read, and says nothing")
		}
		return nil
	}
	isRefused := len(v.Fields) == 0
	switch v.Message {
	case "inputs":
		read, err := decodeInputs(raw)
		if isRefused {
			return refused(err)
		}
		var said inputs
		if err := strictly.Decode(&said); err != nil {
			return err
		}
		return agree(v, raw, read, err, said, encodeInputs)
	case "snapshot":
		read, err := decodeSnapshot(raw)
		if isRefused {
			return refused(err)
		}
		var said snapshot
		if err := strictly.Decode(&said); err != nil {
			return err
		}
		return agree(v, raw, read, err, said, encodeSnapshot)
	case "resume":
		read, err := decodeResume(raw)
		if isRefused {
			return refused(err)
		}
		var said resumeFields
		if err := strictly.Decode(&said); err != nil {
			return err
		}
		return agree(v, raw, read, err, said.token(), encodeResume)
	}
	return fmt.Errorf("no such message: %q", v.Message)
}

// vectors checks every vector of a directory and prints how many there are.
func vectors(directory string) error {
	files, err := filepath.Glob(filepath.Join(directory, "*.json"))
	if err != nil {
		return err
	}
	count, wrong := 0, []error(nil)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var list []vector
		strictly := json.NewDecoder(bytes.NewReader(text))
		strictly.DisallowUnknownFields()
		if err := strictly.Decode(&list); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, v := range list {
			count++
			if err := check(v); err != nil {
				wrong = append(wrong, fmt.Errorf("%s, %s: %w", filepath.Base(file), v.Name, err))
			}
		}
	}
	fmt.Println(count)
	return errors.Join(wrong...)
}
