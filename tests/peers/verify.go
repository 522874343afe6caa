// Verifies a log with Go's own packages: golang.org/x/mod/sumdb/note for checkpoints, sumdb/tlog for the tree and its
// proofs. Standard input: the question below as JSON. Standard output: how many of each were verified. Anything that is
// not as it should be ends it with status 1; so does a false proof that is taken for true.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type checkpoint struct {
	Note  string
	Vkeys []string // each must have signed it
}

type inclusion struct {
	Index, Size int64
	Hashes      [][]byte
}

type consistency struct {
	Old, New int64
	Hashes   [][]byte
}

type question struct {
	Records     [][]byte // the whole log
	Checkpoints []checkpoint
	Inclusion   []inclusion
	Consistency []consistency
}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func hashes(raw [][]byte) []tlog.Hash {
	list := make([]tlog.Hash, len(raw))
	for i, data := range raw {
		if len(data) != tlog.HashSize {
			fail("a hash of %d bytes", len(data))
		}
		copy(list[i][:], data)
	}
	return list
}

func build(records [][]byte) []tlog.Hash {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			list[i] = stored[index]
		}
		return list, nil
	})
	roots := make([]tlog.Hash, len(records)+1)
	for n, record := range records {
		more, err := tlog.StoredHashes(int64(n), record, read)
		if err != nil {
			fail("record %d: %v", n, err)
		}
		stored = append(stored, more...)
		if roots[n+1], err = tlog.TreeHash(int64(n+1), read); err != nil {
			fail("the tree of %d: %v", n+1, err)
		}
	}
	return roots
}

func open(c checkpoint, roots []tlog.Hash) {
	for _, vkey := range c.Vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			fail("%s: %v", vkey, err)
		}
		opened, err := note.Open([]byte(c.Note), note.VerifierList(verifier))
		if err != nil {
			fail("the checkpoint under %s: %v\n%s", vkey, err, c.Note)
		}
		lines := strings.Split(opened.Text, "\n")
		size, err := strconv.Atoi(lines[1])
		if err != nil || size >= len(roots) {
			fail("the size of the checkpoint: %q", lines[1])
		}
		if size > 0 && lines[2] != roots[size].String() {
			fail("the checkpoint of %d has the root %s, the records lead to %s", size, lines[2], roots[size])
		}
		changed := strings.Replace(c.Note, "\n"+lines[1]+"\n", "\n"+lines[1]+"0\n", 1)
		if _, err := note.Open([]byte(changed), note.VerifierList(verifier)); err == nil {
			fail("a changed checkpoint opens")
		}
	}
}

func main() {
	var q question
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		fail("the question: %v", err)
	}
	roots := build(q.Records)
	for _, c := range q.Checkpoints {
		open(c, roots)
	}
	for _, p := range q.Inclusion {
		leaf, proof := tlog.RecordHash(q.Records[p.Index]), tlog.RecordProof(hashes(p.Hashes))
		if err := tlog.CheckRecord(proof, p.Size, roots[p.Size], p.Index, leaf); err != nil {
			fail("record %d in %d: %v", p.Index, p.Size, err)
		}
		leaf[0] ^= 1
		if tlog.CheckRecord(proof, p.Size, roots[p.Size], p.Index, leaf) == nil {
			fail("record %d in %d: another record is in the tree as well", p.Index, p.Size)
		}
	}
	for _, p := range q.Consistency {
		old, proof := roots[p.Old], tlog.TreeProof(hashes(p.Hashes))
		if err := tlog.CheckTree(proof, p.New, roots[p.New], p.Old, old); err != nil {
			fail("from %d to %d: %v", p.Old, p.New, err)
		}
		old[0] ^= 1
		if tlog.CheckTree(proof, p.New, roots[p.New], p.Old, old) == nil {
			fail("from %d to %d: another tree is extended as well", p.Old, p.New)
		}
	}
	fmt.Printf("%d checkpoints %d inclusion %d consistency\n", len(q.Checkpoints), len(q.Inclusion), len(q.Consistency))
}
