// Publishes VP8 and Opus by WHIP, plays itself by WHEP, and says what came back: pion's ICE, DTLS, SRTP and SDP.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const wanted = 100 // packets of each kind

// Heard counts what came back of one kind, and what was wrong about it.
type Heard struct {
	Packets  int `json:"packets"`
	Gaps     int `json:"gaps"`
	Disorder int `json:"disorder"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	heard, err := run(ctx, os.Getenv("WHIP_URL"), os.Getenv("WHIP_TOKEN"), os.Getenv("WHEP_TOKEN"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(heard)
}

func run(ctx context.Context, whip, whipToken, whepToken string) (map[string]*Heard, error) {
	publisher, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	defer publisher.Close()
	video, _ := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "pion")
	audio, _ := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "pion")
	for _, track := range []webrtc.TrackLocal{video, audio} {
		if _, err = publisher.AddTrack(track); err != nil {
			return nil, err
		}
	}
	whep, err := connect(ctx, publisher, whip, whipToken)
	if err != nil {
		return nil, fmt.Errorf("WHIP: %w", err)
	}
	go send(ctx, video, 3000, vp8)
	go send(ctx, audio, 960, opus)

	subscriber, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	defer subscriber.Close()
	only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err = subscriber.AddTransceiverFromKind(kind, only); err != nil {
			return nil, err
		}
	}
	heard := map[string]*Heard{"video": {}, "audio": {}}
	var listening sync.WaitGroup
	listening.Add(len(heard))
	subscriber.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		defer listening.Done()
		listen(track, heard[track.Kind().String()])
	})
	if _, err = connect(ctx, subscriber, whep, whepToken); err != nil {
		return nil, fmt.Errorf("WHEP: %w", err)
	}
	done := make(chan struct{})
	go func() { listening.Wait(); close(done) }()
	select {
	case <-done:
		return heard, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("not enough came: %+v %+v", heard["video"], heard["audio"])
	}
}

// connect posts an offer, takes the answer, waits for the connection, and returns where its media can be played.
func connect(ctx context.Context, connection *webrtc.PeerConnection, address, token string) (string, error) {
	connected := make(chan struct{})
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	offer, err := connection.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err = connection.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	body := bytes.NewBufferString(connection.LocalDescription().SDP)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/sdp")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%s %s %w", response.Status, answer, err)
	}
	err = connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
	if err != nil {
		return "", err
	}
	select {
	case <-connected:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return alternate(address, response.Header.Get("Link"))
}

// alternate reads `</whep/…>; rel="alternate"`.
func alternate(address, link string) (string, error) {
	from, to := bytes.IndexByte([]byte(link), '<'), bytes.IndexByte([]byte(link), '>')
	if from < 0 || to < from {
		return "", nil
	}
	base, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	target, err := base.Parse(link[from+1 : to])
	return target.String(), err
}

// vp8 is a keyframe that carries its number; each is one packet.
func vp8(number uint32) []byte {
	keyframe := []byte{0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0xa0, 0x00, 0x78, 0x00}
	return binary.BigEndian.AppendUint32(keyframe, number)
}

// opus is a packet that carries its number in its padding.
func opus(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0xf8, 0xff, 0xfe}, number)
}

func send(ctx context.Context, track *webrtc.TrackLocalStaticRTP, ticks uint32, payload func(uint32) []byte) {
	clock := time.NewTicker(20 * time.Millisecond)
	defer clock.Stop()
	for number := uint32(0); ; number++ {
		header := rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(number), Timestamp: number * ticks}
		if track.WriteRTP(&rtp.Packet{Header: header, Payload: payload(number)}) != nil {
			return
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return
		}
	}
}

func listen(track *webrtc.TrackRemote, heard *Heard) {
	var number uint32
	var sequence uint16
	for heard.Packets < wanted {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if len(packet.Payload) < 4 {
			continue
		}
		current := binary.BigEndian.Uint32(packet.Payload[len(packet.Payload)-4:])
		if heard.Packets > 0 && packet.SequenceNumber != sequence+1 {
			heard.Gaps++
		}
		if heard.Packets > 0 && current != number+1 {
			heard.Disorder++
		}
		number, sequence = current, packet.SequenceNumber
		heard.Packets++
	}
}
