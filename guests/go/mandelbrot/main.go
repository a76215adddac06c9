// Draws the Mandelbrot set as a PNG: `?width=640&height=480`. A CGI script of the standard library alone:
// GOOS=wasip1 GOARCH=wasm go build -o mandelbrot.wasm ./mandelbrot
package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"net/http"
	"net/http/cgi"
	"net/url"
	"strconv"
)

const (
	sideMax = 2048
	stepMax = 100
)

func main() {
	if err := cgi.Serve(http.HandlerFunc(answer)); err != nil {
		log.Fatal(err)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	width, err := side(r.URL.Query(), "width", 320)
	if err == nil {
		var height int
		if height, err = side(r.URL.Query(), "height", 240); err == nil {
			w.Header().Set("Content-Type", "image/png")
			err = png.Encode(w, draw(width, height))
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func side(query url.Values, name string, otherwise int) (int, error) {
	if !query.Has(name) {
		return otherwise, nil
	}
	value, err := strconv.Atoi(query.Get(name))
	if err != nil || value < 1 || value > sideMax {
		return 0, fmt.Errorf("%s is a number from 1 to %d", name, sideMax)
	}
	return value, nil
}

func draw(width, height int) image.Image {
	picture := image.NewPaletted(image.Rect(0, 0, width, height), palette())
	scale := 3.5 / float64(width)
	for y := 0; y < height; y++ {
		for x := 0; x < width; x++ {
			re := (float64(x)+0.5)*scale - 2.5
			im := (float64(y) + 0.5 - float64(height)/2) * scale
			picture.SetColorIndex(x, y, steps(re, im))
		}
	}
	return picture
}

// The steps after which a point is known to be outside, or stepMax.
func steps(re, im float64) uint8 {
	x, y := 0.0, 0.0
	for step := uint8(0); step < stepMax; step++ {
		if x*x+y*y > 4 {
			return step
		}
		x, y = x*x-y*y+re, 2*x*y+im
	}
	return stepMax
}

func palette() color.Palette {
	colors := make(color.Palette, stepMax+1)
	for step := range colors {
		light := uint8(step * 255 / stepMax)
		colors[step] = color.RGBA{R: light, G: light / 2, B: 255 - light, A: 255}
	}
	colors[stepMax] = color.Black
	return colors
}
