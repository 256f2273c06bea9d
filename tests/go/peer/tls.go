package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net"
	"os"
)

var (
	certificate = flag.String("certificate", "", "PEM file with a certificate and its key; TLS")
	authority   = flag.String("authority", "", "PEM file with who signs the certificates of peers")
)

func listen(address string) (net.Listener, error) {
	if config := security(); config != nil {
		return tls.Listen("tcp", address, config)
	}
	return net.Listen("tcp", address)
}

func dial(address string) (net.Conn, error) {
	if config := security(); config != nil {
		return tls.Dial("tcp", address, config)
	}
	return net.Dial("tcp", address)
}

// security is nil without TLS.
func security() *tls.Config {
	config := &tls.Config{}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *certificate)
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if *authority != "" {
		pem, err := os.ReadFile(*authority)
		if err != nil {
			log.Fatal(err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
		config.ClientCAs = config.RootCAs
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if *certificate == "" && *authority == "" {
		return nil
	}
	return config
}
