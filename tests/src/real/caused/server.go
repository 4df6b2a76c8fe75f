// A server with a goroutine for each connection and one planted cause: `server PORT CAUSE FOLDER`.
package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const block = 4 << 20

var mutex sync.Mutex
var files int64

var sink uint64
var turnsPerMillisecond = 1

func turn(times int) {
	for ; times > 0; times-- {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

// Computes as much as takes so long on a CPU of one's own, by what it does and not by the clock: who waits for a CPU computes as much.
func burn(milliseconds int) {
	turn(milliseconds * turnsPerMillisecond)
}

func calibrate() {
	const turns = 1000000
	for try := 0; try < 10; try++ {
		begin := time.Now()
		turn(turns)
		if rate := int(turns * int64(time.Millisecond) / (time.Since(begin).Nanoseconds() + 1)); rate > turnsPerMillisecond {
			turnsPerMillisecond = rate
		}
	}
}

func openFile(name string) *os.File {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0600)
	if err != nil {
		panic(err)
	}
	return file
}

func main() {
	port, cause, folder := os.Args[1], os.Args[2], os.Args[3]
	calibrate()
	content := make([]byte, block)
	one := openFile(folder + "/one")
	own := sync.Pool{New: func() any {
		return openFile(fmt.Sprintf("%s/%d", folder, atomic.AddInt64(&files, 1)))
	}}
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		switch cause {
		case "mutex":
			mutex.Lock()
			time.Sleep(6 * time.Millisecond)
			mutex.Unlock()
		case "mutex-burn":
			mutex.Lock()
			burn(3)
			mutex.Unlock()
		case "sleep":
			time.Sleep(6 * time.Millisecond)
		case "burn":
			burn(3)
		case "one-file":
			one.WriteAt(content, 0)
		case "own-files":
			file := own.Get().(*os.File)
			file.WriteAt(content, 0)
			own.Put(file)
		}
		answer.Write([]byte("ok\n"))
	})
	panic(http.ListenAndServe("127.0.0.1:"+port, nil))
}
