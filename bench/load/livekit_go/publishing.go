package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// One packet of sound, 20 ms.
const (
	soundBytes = 60
	soundTime  = 20 * time.Millisecond
)

const pictureTime = time.Second / 30

// The head of a stereo frame of Opus (RFC 6716 section 3.1), and what a picture of VP8 begins with when it is not a
// keyframe (RFC 6386 section 9.1). Nobody decodes what follows.
var (
	opusHead    = []byte{0xfc}
	pictureHead = []byte{0x11, 0x02, 0x00}
)

// The encodings of a picture: what livekit-client makes of 1280 by 720.
var encodings = []struct {
	quality       livekit.VideoQuality
	width, height uint32
	bitsPerSecond int
}{
	{livekit.VideoQuality_LOW, 320, 180, 160_000},
	{livekit.VideoQuality_MEDIUM, 640, 360, 450_000},
	{livekit.VideoQuality_HIGH, 1280, 720, 1_700_000},
}

func publish(room *lksdk.Room, kind string, number int) error {
	if kind == "video" {
		tracks, err := pictures(number)
		if err != nil {
			return err
		}
		_, err = room.LocalParticipant.PublishSimulcastTrack(tracks, &lksdk.TrackPublicationOptions{Source: livekit.TrackSource_CAMERA})
		return err
	}
	codec := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48_000, Channels: 2}
	track, err := lksdk.NewLocalTrack(codec)
	if err != nil {
		return err
	}
	write(track, &microphone{})
	_, err = room.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Source: livekit.TrackSource_MICROPHONE})
	return err
}

// pictures are one camera in three encodings.
func pictures(number int) ([]*lksdk.LocalTrack, error) {
	codec := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90_000}
	var tracks []*lksdk.LocalTrack
	for _, each := range encodings {
		camera := newCamera(each.width, each.height, each.bitsPerSecond)
		layer := &livekit.VideoLayer{Quality: each.quality, Width: each.width, Height: each.height, Bitrate: uint32(each.bitsPerSecond)}
		track, err := lksdk.NewLocalTrack(codec, lksdk.WithSimulcast(fmt.Sprintf("camera-%d", number), layer), lksdk.WithRTCPHandler(camera.onRTCP))
		if err != nil {
			return nil, err
		}
		write(track, camera)
		tracks = append(tracks, track)
	}
	return tracks, nil
}

// write sends what a provider gives as soon as the track is agreed on.
func write(track *lksdk.LocalTrack, provider lksdk.SampleProvider) {
	track.OnBind(func() {
		if err := track.StartWrite(provider, nil); err != nil {
			fail(err)
		}
	})
}

// microphone says always the same.
type microphone struct{ lksdk.BaseSampleProvider }

func (*microphone) NextSample(context.Context) (media.Sample, error) {
	return media.Sample{Data: padded(opusHead, soundBytes), Duration: soundTime}, nil
}

// CurrentAudioLevel is that of somebody who talks, in -dBov.
func (*microphone) CurrentAudioLevel() uint8 { return 30 }

// camera makes pictures of one encoding, the first a keyframe, and another one whenever somebody wants one.
type camera struct {
	lksdk.BaseSampleProvider
	keyframeHead   []byte
	pictureBytes   int
	keyframeWanted atomic.Bool
}

func newCamera(width, height uint32, bitsPerSecond int) *camera {
	head := []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
	one := &camera{keyframeHead: head, pictureBytes: bitsPerSecond / 8 / 30}
	one.keyframeWanted.Store(true)
	return one
}

func (c *camera) NextSample(context.Context) (media.Sample, error) {
	head := pictureHead
	if c.keyframeWanted.Swap(false) {
		head = c.keyframeHead
	}
	return media.Sample{Data: padded(head, c.pictureBytes), Duration: pictureTime}, nil
}

func (c *camera) onRTCP(packet rtcp.Packet) {
	switch packet.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		c.keyframeWanted.Store(true)
	}
}

func padded(head []byte, length int) []byte {
	return append(append(make([]byte, 0, length), head...), make([]byte, length-len(head))...)
}
