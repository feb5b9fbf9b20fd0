package bus

import (
	"strconv"
	"strings"
)

// HeaderLines says which lines of its writer's a message of BUILD_LOGS holds, so that a place in a log is found without reading
// the text before it: the number of the first (0: they have none), and how many.
const HeaderLines = "Freeagent-Lines"

// LogLines is the value of HeaderLines.
func LogLines(first int64, count int) string {
	return strconv.FormatInt(first, 10) + " " + strconv.Itoa(count)
}

// ParseLogLines is the inverse of LogLines; ok is false for what is none, as in messages of workers that say nothing.
func ParseLogLines(text string) (first int64, count int, ok bool) {
	a, b, two := strings.Cut(text, " ")
	first, err1 := strconv.ParseInt(a, 10, 64)
	count, err2 := strconv.Atoi(b)
	return first, count, two && err1 == nil && err2 == nil && first >= 0 && count >= 0
}
