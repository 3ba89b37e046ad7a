package archive_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
)

// askDuckDB is a program for Node that answers queries over a file as JSON.
const askDuckDB = `
const { DuckDBInstance } = require(process.argv[2] + '/node_modules/@duckdb/node-api');
(async () => {
  const db = await (await DuckDBInstance.create(':memory:')).connect();
  await db.run("SET TimeZone='UTC'");
  const answers = [];
  for (const query of process.argv.slice(3)) answers.push((await db.runAndReadAll(query)).getRowObjectsJson());
  console.log(JSON.stringify(answers));
})().catch(e => { console.error(e); process.exit(1); });
`

// TestDuckDB_AnswersAnAnalyst has a program of other people read an object: how much each sends a day, and how long it takes
// until it is read.
func TestDuckDB_AnswersAnAnalyst(t *testing.T) {
	dir, err := filepath.Abs("../.cache/duckdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/@duckdb/node-api")); err != nil {
		t.Skip("DuckDB is not there: scripts/duckdb.sh gets it")
	}
	rows := someRows(11, 200, 50, 3)
	w := write(t, rows, archive.Options{BlockBytes: 64 << 10})
	file := filepath.Join(t.TempDir(), "segment.parquet")
	if err := os.WriteFile(file, w.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	from := fmt.Sprintf("from '%s'", file)
	cmd := exec.CommandContext(t.Context(), "node", "-e", askDuckDB, "-", dir,
		"select sender_id as sender, strftime(sent_at, '%Y-%m-%d') as day, count(*)::int as messages "+from+" group by all order by all",
		"select count(*)::int as n, min(seq)::int as low, sum(length(text))::int as bytes, count(distinct message_id)::int as ids "+from,
		"select median(epoch_ms(r.read_at) - epoch_ms(sent_at))::int as ms, count(*)::int as n from (select sent_at, unnest(receipts) as r "+from+") where epoch_ms(r.read_at) > 0",
	)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var answers [][]map[string]any
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	perDay, bytes, low, waits := map[string]int{}, 0, rows[0].Seq, []int64{}
	for _, r := range rows {
		perDay[r.SenderID+time.UnixMilli(int64(r.SentAt)).UTC().Format("2006-01-02")]++
		bytes, low = bytes+len(r.Text), min(low, r.Seq)
		for _, receipt := range r.Receipts {
			if receipt.ReadAt > 0 {
				waits = append(waits, int64(receipt.ReadAt-r.SentAt))
			}
		}
	}
	slices.Sort(waits)
	for _, line := range answers[0] {
		name := fmt.Sprint(line["sender"], line["day"])
		if got := int(line["messages"].(float64)); got != perDay[name] {
			t.Errorf("%s: %d messages, want %d", name, got, perDay[name])
		}
		delete(perDay, name)
	}
	if len(perDay) > 0 {
		t.Errorf("not counted: %v", perDay)
	}
	if got, want := fmt.Sprint(answers[1][0]), fmt.Sprint(map[string]any{"n": len(rows), "low": int(low), "bytes": bytes, "ids": len(rows)}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	middle := float64(waits[len(waits)/2])
	if got := answers[2][0]["ms"].(float64); answers[2][0]["n"].(float64) != float64(len(waits)) || got < middle-2 || got > middle+2 {
		t.Errorf("read after %v ms of %v, want %v of %d", got, answers[2][0]["n"], middle, len(waits))
	}
}
