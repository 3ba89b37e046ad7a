package frametest

import (
	"fmt"
	"unicode/utf8"
)

const kosme = "\u03ba\u1f79\u03c3\u03bc\u03b5" // 2, 3, 2, 2 and 2 octets

// utf8 is section 6: text that is UTF-8 and text that is not, and when that shows.
func (l *list) utf8() {
	l.add("6.1.1", "empty text", Text(""), "text ")
	l.add("6.1.2", "text of three empty fragments", Join(Start(""), More(""), End("")), "text ")
	l.add("6.1.3", "text of three fragments, only the middle one not empty", Join(Start(""), More("middle"), End("")), "text middle")
	const hello = "Hello-µ@ßöäüàá-UTF-8!!"
	l.add("6.2.1", "valid text in one fragment", Text(hello), "text "+hello)
	l.add("6.2.2", "valid text cut between characters", Join(Start(hello[:11]), End(hello[11:])), "text "+hello)
	l.add("6.2.3", "valid text in fragments of an octet", Fragments(opText, []byte(hello), 1), "text "+hello)
	l.add("6.2.4", "valid text in fragments of an octet", Fragments(opText, []byte(kosme), 1), "text "+kosme)
	const edited = kosme + "\xed\xa0\x80edited"
	l.add("6.3.1", "text with a surrogate", Text(edited), "fail 1007")
	l.add("6.3.2", "text with a surrogate in fragments of an octet", Fragments(opText, []byte(edited), 1), "fail 1007")
	l.failFast()
	number := map[int]int{}
	for _, row := range sequences {
		for i, s := range row.bytes {
			number[row.section]++
			name := fmt.Sprintf("6.%d.%d", row.section, number[row.section])
			title := fmt.Sprintf("%s, %d of %d: %x", row.title, i+1, len(row.bytes), s)
			want := "text " + s
			if !row.valid {
				want = "fail 1007"
			}
			if valid := utf8.ValidString(s); valid != row.valid {
				panic("BUG: the table is wrong about " + name)
			}
			l.add(name, title, Text(s), want)
		}
	}
}

// failFast has the cases whose message does not end: what is wrong with it shows before.
func (l *list) failFast() {
	const bad = "\xf4\x90\x80\x80"
	l.add("6.4.1", "fails at the fragment that shows it", Join(Start(kosme), More(bad)), "fail 1007")
	l.add("6.4.2", "fails at the fragment whose octet shows it", Join(Start(kosme+"\xf4"), More("\x90")), "fail 1007")
	frame := Text(kosme + bad + "edited")
	const head = 2 + 4
	l.chopped("6.4.3", "fails at the octets that show it, within a frame", len(kosme), frame[:head+len(kosme)+len(bad)], "fail 1007")
	l.chopped("6.4.4", "fails at the octet that shows it, within a frame", 1, frame[:head+len(kosme)+2], "fail 1007")
}

// sequences is sections 6.5 to 6.23. Rows with the same section are numbered on.
var sequences = []struct {
	section int
	title   string
	valid   bool
	bytes   []string
}{
	{5, "valid sequences", true, []string{"hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", kosme}},
	{6, "beginnings of a valid text", false, []string{kosme[:1]}},
	{6, "beginnings of a valid text", true, []string{kosme[:2]}},
	{6, "beginnings of a valid text", false, []string{kosme[:3], kosme[:4]}},
	{6, "beginnings of a valid text", true, []string{kosme[:5]}},
	{6, "beginnings of a valid text", false, []string{kosme[:6]}},
	{6, "beginnings of a valid text", true, []string{kosme[:7]}},
	{6, "beginnings of a valid text", false, []string{kosme[:8]}},
	{6, "beginnings of a valid text", true, []string{kosme[:9]}},
	{6, "beginnings of a valid text", false, []string{kosme[:10]}},
	{6, "beginnings of a valid text", true, []string{kosme}},
	{7, "first sequence of its length", true, []string{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}},
	{8, "first sequence of five and six", false, []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
	{9, "last sequence of its length", true, []string{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}},
	{10, "last sequence of four, five and six", false, []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
	{11, "other bounds", true, []string{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf"}},
	{11, "other bounds", false, []string{"\xf4\x90\x80\x80"}},
	{12, "continuation octets alone", false, []string{
		"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", span(0x80, 0xbf, ""),
	}},
	{13, "starts alone", false, []string{span(0xc0, 0xdf, " "), span(0xe0, 0xef, " "), span(0xf0, 0xf7, " "), span(0xf8, 0xfb, " "), span(0xfc, 0xfd, " ")}},
	{14, "last octet missing", false, unfinished},
	{15, "unfinished sequences behind each other", false, []string{joined(unfinished)}},
	{16, "impossible octets", false, []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
	{17, "overlong slash", false, []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
	{18, "longest overlong", false, []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
	{19, "overlong NUL", false, []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
	{20, "a surrogate", false, []string{
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
	}},
	{21, "a pair of surrogates", false, []string{
		"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
		"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
	}},
	{22, "code points that are no characters", true, noncharacters()},
	{23, "specials", true, []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
}

var unfinished = []string{
	"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
	"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
}

// span gives the octets from first to last, each with something behind it.
func span(first, last byte, behind string) string {
	var out []byte
	for b := first; b <= last; b++ {
		out = append(append(out, b), behind...)
	}
	return string(out)
}

func joined(parts []string) (all string) {
	for _, p := range parts {
		all += p
	}
	return all
}

// noncharacters are the last two code points of each plane.
func noncharacters() (list []string) {
	for plane := rune(0); plane <= 16; plane++ {
		list = append(list, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return list
}
