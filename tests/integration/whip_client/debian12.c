/* Two things that keep Debian 12's whip-client from calling us, changed from outside; the program itself is as packaged.
 *
 * It is linked with libsoup 2, and its libnice, by way of gupnp-igd, with libsoup 3; a process that has both ends itself.
 * UPnP is off in webrtcbin, so this library stands in for gupnp-igd.
 *
 * GStreamer 1.22 draws an RSA certificate. The engine's DTLS knows ECDSA only, as every browser uses, and asks for no
 * other; so whip-client would show none. Here it gets a P-256 key instead. */
#include <dlfcn.h>

void *gupnp_simple_igd_thread_new(void) { return 0; }
unsigned long gupnp_simple_igd_get_type(void) { return 0; }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}

enum { KEY_RSA = 6, KEY_EC = 408, CURVE_P256 = 415 };

int EVP_PKEY_assign(void *holder, int kind, void *key) {
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
    int (*assign)(void *, int, void *) = dlsym(crypto, "EVP_PKEY_assign");
    if (kind != KEY_RSA)
        return assign(holder, kind, key);
    void *(*new_on_curve)(int) = dlsym(crypto, "EC_KEY_new_by_curve_name");
    int (*generate)(void *) = dlsym(crypto, "EC_KEY_generate_key");
    void (*free_rsa)(void *) = dlsym(crypto, "RSA_free");
    void *elliptic = new_on_curve(CURVE_P256);
    if (!elliptic || !generate(elliptic) || !assign(holder, KEY_EC, elliptic))
        return 0;
    free_rsa(key);
    return 1;
}
