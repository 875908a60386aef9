// Everybody in one room, each with LiveKit's own SDK for Go: who publishes, who listens, and what arrives of it.
//
// It reads what to do as JSON from standard input, and tells what became of it in one line of JSON on standard output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// How long it may take until everything that shall arrive does.
const joinLimit = 30 * time.Second

// How often that is looked at.
const look = 50 * time.Millisecond

// What a run is asked to do.
type settings struct {
	URL string `json:"url"`
	// Tokens, one for each participant.
	Publishers []string `json:"publishers"`
	Listeners  []string `json:"listeners"`
	// `audio` or `video`.
	Kind string `json:"kind"`
	// How long is counted once everything arrives.
	Seconds int `json:"seconds"`
}

// What became of it.
type report struct {
	Expected int    `json:"expected"`
	Got      int    `json:"got"`
	Packets  uint64 `json:"packets"`
	Lost     uint64 `json:"lost"`
}

func main() {
	lksdk.SetLogger(logger.GetDiscardLogger())
	var asked settings
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	told, err := meet(asked)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "livekit_go:", err)
	os.Exit(1)
}

// meet lets everybody join, waits until all tracks arrive, and counts.
func meet(asked settings) (report, error) {
	arriving := &arrivals{}
	callback := lksdk.NewRoomCallback()
	callback.OnTrackSubscribed = func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		go arriving.follow(track)
	}
	for number, token := range asked.Publishers {
		room, err := join(asked.URL, token, callback)
		if err != nil {
			return report{}, fmt.Errorf("publisher %d: %w", number, err)
		}
		defer room.Disconnect()
		if err := publish(room, asked.Kind, number); err != nil {
			return report{}, fmt.Errorf("publisher %d: %w", number, err)
		}
	}
	for number, token := range asked.Listeners {
		room, err := join(asked.URL, token, callback)
		if err != nil {
			return report{}, fmt.Errorf("listener %d: %w", number, err)
		}
		defer room.Disconnect()
	}
	expected := len(asked.Publishers) * (len(asked.Publishers) - 1 + len(asked.Listeners))
	for waited := time.Duration(0); arriving.got() < expected && waited < joinLimit; waited += look {
		time.Sleep(look)
	}
	arriving.beginToCount()
	time.Sleep(time.Duration(asked.Seconds) * time.Second)
	packets, lost := arriving.counted()
	return report{Expected: expected, Got: arriving.got(), Packets: packets, Lost: lost}, nil
}

func join(url, token string, callback *lksdk.RoomCallback) (*lksdk.Room, error) {
	return lksdk.ConnectToRoomWithToken(url, token, callback, lksdk.WithDisableRegionDiscovery())
}
