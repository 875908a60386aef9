package main

import "testing"

func counted(one *arrived) (packets, lost uint64) {
	return (&arrivals{tracks: []*arrived{one}}).counted()
}

func TestWhatComesInAnyOrderOverTheWrapIsNotLost(t *testing.T) {
	one := newArrived(65534)
	for _, number := range []uint16{65534, 0, 65535, 1} {
		one.take(number)
	}
	if packets, lost := counted(one); packets != 4 || lost != 0 {
		t.Fatalf("%d packets, %d lost", packets, lost)
	}
}

func TestWhatDoesNotComeIsLost(t *testing.T) {
	one := newArrived(10)
	for _, number := range []uint16{10, 13} {
		one.take(number)
	}
	if packets, lost := counted(one); packets != 2 || lost != 2 {
		t.Fatalf("%d packets, %d lost", packets, lost)
	}
}

func TestCountingBeginsWhereItIsToldTo(t *testing.T) {
	one := newArrived(10)
	one.take(10)
	all := &arrivals{tracks: []*arrived{one}}
	one.take(12)
	all.beginToCount()
	one.take(11)
	one.take(13)
	if packets, lost := all.counted(); packets != 1 || lost != 0 {
		t.Fatalf("%d packets, %d lost", packets, lost)
	}
}
