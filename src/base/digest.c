#include <openssl/evp.h> /* before base.h, which poisons words that it uses */

#include "base/digest.h"

#include "base/file.h"

void digest_bytes(const void *bytes, size_t n, char hex[static DIGEST_HEX])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int ok = EVP_Digest(bytes, n, raw, &len, EVP_sha256(), NULL);

    assert(ok == 1 && len == 32);
    for (unsigned int i = 0; i < len; i++)
        snprintf(hex + i * 2, 3, "%02x", raw[i]);
}

bool digest_file(const char *path, char hex[static DIGEST_HEX], struct err *err)
{
    AUTO(mapped) m = {0};

    if (!file_map(&m, path, err))
        return false;
    digest_bytes(m.data, m.size, hex);
    return true;
}
