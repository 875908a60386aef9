package main

import (
	"sync"

	"github.com/pion/webrtc/v4"
)

// arrivals counts what comes of all tracks of all participants.
type arrivals struct {
	mutex  sync.Mutex
	tracks []*arrived
}

// arrived is one track at one participant.
type arrived struct {
	// The highest sequence number yet, wraps included, and that after which is counted.
	highest, from uint64
	packets       uint64
}

// follow reads a track until it ends.
func (a *arrivals) follow(track *webrtc.TrackRemote) {
	var one *arrived
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		a.mutex.Lock()
		if one == nil {
			one = newArrived(packet.SequenceNumber)
			a.tracks = append(a.tracks, one)
		}
		one.take(packet.SequenceNumber)
		a.mutex.Unlock()
	}
}

// got is how many tracks have brought a packet.
func (a *arrivals) got() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.tracks)
}

func (a *arrivals) beginToCount() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, one := range a.tracks {
		one.from, one.packets = one.highest, 0
	}
}

// counted is how many packets have come, and how many have not, not even when they were asked for.
func (a *arrivals) counted() (packets, lost uint64) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, one := range a.tracks {
		packets += one.packets
		if expected := one.highest - one.from; expected > one.packets {
			lost += expected - one.packets
		}
	}
	return packets, lost
}

// newArrived begins far from zero, so that an early packet that comes late has a number.
func newArrived(first uint16) *arrived {
	highest := uint64(1<<16) + uint64(first) - 1
	return &arrived{highest: highest, from: highest}
}

func (a *arrived) take(sequenceNumber uint16) {
	distance := int16(sequenceNumber - uint16(a.highest))
	number := a.highest + uint64(int64(distance))
	if distance > 0 {
		a.highest = number
	}
	if number > a.from {
		a.packets++
	}
}
