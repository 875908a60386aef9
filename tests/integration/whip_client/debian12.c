/* What keeps Debian 12's whip-client from running at all: it is linked with libsoup 2, and its libnice, by way of gupnp-igd,
 * with libsoup 3; a process that has both ends itself. UPnP is off in webrtcbin, so this library stands in for gupnp-igd, found
 * by LD_LIBRARY_PATH. Nothing else is changed: the program, GStreamer, libnice and OpenSSL are as packaged. */
void *gupnp_simple_igd_thread_new(void) { return 0; }
unsigned long gupnp_simple_igd_get_type(void) { return 0; }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}
