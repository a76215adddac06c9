// Makes pictures smaller: a PNG, JPEG or GIF of at most 1 MiB is sent to it, and a PNG whose longer side is `?side=128`
// comes back. A CGI script of the standard library alone.
package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	"image/png"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"strconv"
)

const (
	sideMax   = 1024
	pixelsMax = 1 << 22
)

func main() {
	if err := cgi.Serve(http.HandlerFunc(answer)); err != nil {
		log.Fatal(err)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	side := 128
	if text := r.URL.Query().Get("side"); text != "" {
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 || value > sideMax {
			http.Error(w, fmt.Sprintf("side is a number from 1 to %d", sideMax), http.StatusBadRequest)
			return
		}
		side = value
	}
	picture, err := read(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	if err := png.Encode(w, smaller(picture, side)); err != nil {
		log.Fatal(err)
	}
}

// How large a picture is, is looked at before there is memory for it.
func read(body io.Reader) (image.Image, error) {
	sent, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	about, _, err := image.DecodeConfig(bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	if about.Width*about.Height > pixelsMax {
		return nil, fmt.Errorf("it has %d x %d pixels, and %d are allowed", about.Width, about.Height, pixelsMax)
	}
	picture, _, err := image.Decode(bytes.NewReader(sent))
	return picture, err
}

// Each pixel is the mean of those that it stands for. What is small enough stays as it is.
func smaller(from image.Image, side int) image.Image {
	bounds := from.Bounds()
	longer := max(bounds.Dx(), bounds.Dy())
	if longer <= side {
		return from
	}
	width, height := max(bounds.Dx()*side/longer, 1), max(bounds.Dy()*side/longer, 1)
	to := image.NewRGBA64(image.Rect(0, 0, width, height))
	for y := 0; y < height; y++ {
		for x := 0; x < width; x++ {
			part := image.Rect(
				bounds.Min.X+x*bounds.Dx()/width, bounds.Min.Y+y*bounds.Dy()/height,
				bounds.Min.X+(x+1)*bounds.Dx()/width, bounds.Min.Y+(y+1)*bounds.Dy()/height)
			to.SetRGBA64(x, y, mean(from, part))
		}
	}
	return to
}

func mean(from image.Image, part image.Rectangle) color.RGBA64 {
	var sums [4]uint64
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			red, green, blue, alpha := from.At(x, y).RGBA()
			for index, value := range [4]uint32{red, green, blue, alpha} {
				sums[index] += uint64(value)
			}
		}
	}
	count := uint64(part.Dx() * part.Dy())
	of := func(index int) uint16 { return uint16(sums[index] / count) }
	return color.RGBA64{R: of(0), G: of(1), B: of(2), A: of(3)}
}
