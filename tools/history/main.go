// Says whether what clients saw of volumes can have happened: reads a history (JSON lines, see test/history/README.md), has Porcupine look at every
// block as a register, and prints the verdict with what it was reached from. Knows nothing of Holdfast and shares no code with it.
//
//	history <history.jsonl> [-timeout 120s] [-picture violation.html]
//
// Exit code 0: linearizable. 1: not, the block and its operations are in the picture. 2: no history. 3: Porcupine did not get to an end in time.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	exitLinearizable = 0
	exitViolation    = 1
	exitNoHistory    = 2
	exitUnknown      = 3
)

// What a block holds before anybody writes it.
const initialValue = "0"

// No operation of a run of clocks that count nanoseconds ends later.
const endOfTime = math.MaxInt64 / 2

const lineBytesMax = 1 << 20

// One line. A write without a return may have happened at any time after its call, or never. A line with a fault is for the picture only.
type line struct {
	Client   int    `json:"client"`
	Kind     string `json:"kind"`
	Block    string `json:"block"`
	Value    string `json:"value"`
	CallNs   int64  `json:"callNs"`
	ReturnNs *int64 `json:"returnNs"`
	Fault    string `json:"fault"`
}

type input struct {
	isWrite bool
	value   string
}

type history struct {
	blocks map[string][]line
	faults []line
}

type counts struct {
	operations, reads, writes, unknown, unknownUnseen int
}

func main() {
	timeout := flag.Duration("timeout", 2*time.Minute, "for all blocks together")
	picture := flag.String("picture", "violation.html", "where a violation is drawn")
	flag.Parse()
	if flag.NArg() != 1 {
		fail("usage: history [-timeout 120s] [-picture violation.html] <history.jsonl>")
	}
	read, err := readHistory(flag.Arg(0))
	if err != nil {
		fail(err.Error())
	}
	os.Exit(judge(read, *timeout, *picture))
}

func fail(sentence string) {
	fmt.Fprintln(os.Stderr, sentence)
	os.Exit(exitNoHistory)
}

func readHistory(file string) (history, error) {
	opened, err := os.Open(file)
	if err != nil {
		return history{}, err
	}
	defer opened.Close()
	read := history{blocks: map[string][]line{}}
	scanner := bufio.NewScanner(opened)
	scanner.Buffer(make([]byte, lineBytesMax), lineBytesMax)
	for number := 1; scanner.Scan(); number++ {
		var one line
		if err := json.Unmarshal(scanner.Bytes(), &one); err != nil {
			return history{}, fmt.Errorf("%s:%d: %w", file, number, err)
		}
		if one.Fault != "" {
			read.faults = append(read.faults, one)
			continue
		}
		if sentence := problemOf(one); sentence != "" {
			return history{}, fmt.Errorf("%s:%d: %s", file, number, sentence)
		}
		read.blocks[one.Block] = append(read.blocks[one.Block], one)
	}
	if err := scanner.Err(); err != nil {
		return history{}, err
	}
	if len(read.blocks) == 0 {
		return history{}, fmt.Errorf("%s holds no operation: that proves nothing", file)
	}
	return read, checkUnique(read)
}

func problemOf(one line) string {
	switch {
	case one.Kind != "read" && one.Kind != "write":
		return fmt.Sprintf("kind %q is neither read nor write", one.Kind)
	case one.Block == "" || one.Value == "":
		return "an operation has a block and a value"
	case one.Kind == "read" && one.ReturnNs == nil:
		return "a read without an answer has read nothing: leave it out"
	case one.ReturnNs != nil && *one.ReturnNs < one.CallNs:
		return "it returned before it was called"
	case one.Client < 0:
		return "clients count from 0"
	}
	return ""
}

// All that follows takes a value for the name of the write that wrote it.
func checkUnique(read history) error {
	for block, lines := range read.blocks {
		seen := map[string]bool{initialValue: true}
		for _, one := range lines {
			if one.Kind != "write" {
				continue
			}
			if seen[one.Value] {
				return fmt.Errorf("block %s: value %s was written twice, or before anybody wrote", block, one.Value)
			}
			seen[one.Value] = true
		}
	}
	return nil
}

// Makes Porcupine's work bearable and changes no verdict:
//   - a write of unknown outcome whose value nobody ever read is left out: it can always be taken for the last of all;
//   - one whose value was read took effect before the first answer that shows it, so that is when it ended.
func operationsOf(lines []line, count *counts) []porcupine.Operation {
	firstSeen := map[string]int64{}
	for _, one := range lines {
		if one.Kind != "read" {
			continue
		}
		if seen, ok := firstSeen[one.Value]; !ok || *one.ReturnNs < seen {
			firstSeen[one.Value] = *one.ReturnNs
		}
	}
	operations := []porcupine.Operation{}
	for _, one := range lines {
		count.operations++
		if one.Kind == "read" {
			count.reads++
		} else {
			count.writes++
		}
		end := int64(endOfTime)
		if one.ReturnNs != nil {
			end = *one.ReturnNs
		} else {
			count.unknown++
			seen, ok := firstSeen[one.Value]
			if !ok {
				count.unknownUnseen++
				continue
			}
			if seen >= one.CallNs { // else it was read before it was written, which is for Porcupine to say
				end = seen
			}
		}
		operations = append(operations, porcupine.Operation{
			ClientId: one.Client,
			Input:    input{one.Kind == "write", one.Value},
			Output:   one.Value,
			Call:     one.CallNs,
			Return:   end,
		})
	}
	return operations
}

func register() porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return initialValue },
		Step: func(state, in, out interface{}) (bool, interface{}) {
			asked := in.(input)
			if asked.isWrite {
				return true, asked.value
			}
			return state == out, state
		},
		DescribeOperation: func(in, out interface{}) string {
			if asked := in.(input); asked.isWrite {
				return "write " + asked.value
			}
			return fmt.Sprintf("read %s", out)
		},
		DescribeState: func(state interface{}) string { return state.(string) },
	}
}

func judge(read history, timeout time.Duration, picture string) int {
	names := make([]string, 0, len(read.blocks))
	for name := range read.blocks {
		names = append(names, name)
	}
	sort.Strings(names)
	start := time.Now()
	var count counts
	bad, unknown := []string{}, []string{}
	for _, name := range names {
		left := timeout - time.Since(start)
		operations := operationsOf(read.blocks[name], &count)
		if left <= 0 {
			unknown = append(unknown, name)
			continue
		}
		switch porcupine.CheckOperationsTimeout(register(), operations, left) {
		case porcupine.Illegal:
			if len(bad) == 0 {
				draw(operations, read.faults, timeout, picture)
			}
			bad = append(bad, name)
		case porcupine.Unknown:
			unknown = append(unknown, name)
		}
	}
	fmt.Printf("%d blocks, %d operations: %d reads, %d writes, %d of them of unknown outcome (%d never seen again), %d faults, checked in %s\n",
		len(names), count.operations, count.reads, count.writes, count.unknown, count.unknownUnseen, len(read.faults),
		time.Since(start).Round(time.Millisecond))
	return tell(bad, unknown, timeout, picture)
}

func tell(bad, unknown []string, timeout time.Duration, picture string) int {
	if len(bad) > 0 {
		fmt.Printf("NOT LINEARIZABLE: blocks %v; the first is drawn in %s\n", bad, picture)
		return exitViolation
	}
	if len(unknown) > 0 {
		fmt.Printf("UNKNOWN: no end within %s for blocks %v. That is no proof: fewer clients, more blocks or a shorter run make it decidable.\n", timeout, unknown)
		return exitUnknown
	}
	fmt.Println("linearizable")
	return exitLinearizable
}

// The block alone: a picture of all of them would be too large for any browser.
func draw(operations []porcupine.Operation, faults []line, timeout time.Duration, picture string) {
	_, information := porcupine.CheckOperationsVerbose(register(), operations, timeout)
	annotations := []porcupine.Annotation{}
	for _, fault := range faults {
		end := fault.CallNs
		if fault.ReturnNs != nil {
			end = *fault.ReturnNs
		}
		annotations = append(annotations, porcupine.Annotation{Tag: "faults", Start: fault.CallNs, End: end, Description: fault.Fault})
	}
	information.AddAnnotations(annotations)
	if err := porcupine.VisualizePath(register(), information, picture); err != nil {
		fmt.Fprintln(os.Stderr, err.Error())
	}
}
