/*
 * An independent program's look at a certificate store of Windows:
 *
 *   certstore_witness user|machine STORE COMMON-NAME [SHA256-DIGEST]
 *
 * prints what it finds of the first certificate of that name, a word and its value a line, and with
 * a digest (hexadecimal) signs it with the certificate's private key. Exit code 3: not there.
 */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>
#include <wincrypt.h>
#include <ncrypt.h>

static int fail(const char *call, unsigned long code)
{
	fprintf(stderr, "%s failed: 0x%lx\n", call, code);
	return 1;
}

static void print_hex(const char *word, const BYTE *bytes, DWORD length)
{
	printf("%s ", word);
	for (DWORD i = 0; i < length; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

static int sign_by_csp(HCRYPTPROV provider, DWORD spec, const BYTE *digest)
{
	BYTE bytes[512];
	DWORD length = sizeof bytes;
	HCRYPTHASH hash;
	HCRYPTKEY key;

	if (!CryptCreateHash(provider, CALG_SHA_256, 0, 0, &hash))
		return fail("CryptCreateHash", GetLastError());
	if (!CryptSetHashParam(hash, HP_HASHVAL, digest, 0))
		return fail("CryptSetHashParam", GetLastError());
	if (!CryptSignHashW(hash, spec, NULL, 0, bytes, &length))
		return fail("CryptSignHash", GetLastError());
	for (DWORD i = 0; i < length / 2; i++) { /* least significant octet first */
		BYTE octet = bytes[i];
		bytes[i] = bytes[length - 1 - i];
		bytes[length - 1 - i] = octet;
	}
	print_hex("signature", bytes, length);
	CryptDestroyHash(hash);

	if (!CryptGetUserKey(provider, spec, &key))
		return fail("CryptGetUserKey", GetLastError());
	printf("exportable %d\n", CryptExportKey(key, 0, PRIVATEKEYBLOB, 0, NULL, &length));
	CryptDestroyKey(key);
	return 0;
}

static int sign_by_cng(NCRYPT_KEY_HANDLE key, const BYTE *digest)
{
	BCRYPT_PKCS1_PADDING_INFO pkcs1 = { BCRYPT_SHA256_ALGORITHM };
	WCHAR group[32] = L"";
	BYTE bytes[512];
	DWORD length, policy;
	SECURITY_STATUS status;
	int rsa;

	status = NCryptGetProperty(key, NCRYPT_ALGORITHM_GROUP_PROPERTY, (BYTE *)group, sizeof group,
				   &length, 0);
	if (status)
		return fail("NCryptGetProperty", status);
	rsa = wcscmp(group, L"RSA") == 0;
	status = NCryptSignHash(key, rsa ? &pkcs1 : NULL, (BYTE *)digest, 32, bytes, sizeof bytes,
				&length, (rsa ? BCRYPT_PAD_PKCS1 : 0) | NCRYPT_SILENT_FLAG);
	if (status)
		return fail("NCryptSignHash", status);
	print_hex("signature", bytes, length);

	status = NCryptGetProperty(key, NCRYPT_EXPORT_POLICY_PROPERTY, (BYTE *)&policy,
				   sizeof policy, &length, 0);
	if (status)
		return fail("NCryptGetProperty", status);
	printf("exportable %d\n", policy != 0);
	return 0;
}

static int sign(PCCERT_CONTEXT certificate, const WCHAR *digest_hex)
{
	HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key;
	DWORD spec, flags = CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG | CRYPT_ACQUIRE_SILENT_FLAG |
			    CRYPT_ACQUIRE_COMPARE_KEY_FLAG;
	BYTE digest[32];
	BOOL free_it;
	int result;

	for (int i = 0; i < 32; i++) {
		unsigned octet;
		if (swscanf(digest_hex + 2 * i, L"%2x", &octet) != 1)
			return fail("a digest", i);
		digest[i] = octet;
	}
	if (!CryptAcquireCertificatePrivateKey(certificate, flags, NULL, &key, &spec, &free_it))
		return fail("CryptAcquireCertificatePrivateKey", GetLastError());
	if (spec == CERT_NCRYPT_KEY_SPEC) {
		result = sign_by_cng(key, digest);
		if (free_it)
			NCryptFreeObject(key);
	} else {
		result = sign_by_csp(key, spec, digest);
		if (free_it)
			CryptReleaseContext(key, 0);
	}
	return result;
}

int wmain(int argc, WCHAR **argv)
{
	PCCERT_CONTEXT certificate;
	HCERTSTORE store;
	WCHAR name[256];
	BYTE usage[1024];
	DWORD length, where;
	int result = 0;

	if (argc < 4)
		return 2;
	where = wcscmp(argv[1], L"user") == 0 ? CERT_SYSTEM_STORE_CURRENT_USER
					      : CERT_SYSTEM_STORE_LOCAL_MACHINE;
	store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, where | CERT_STORE_READONLY_FLAG, argv[2]);
	if (!store)
		return fail("CertOpenStore", GetLastError());
	certificate = CertFindCertificateInStore(store, X509_ASN_ENCODING, 0, CERT_FIND_SUBJECT_STR_W,
						 argv[3], NULL);
	if (!certificate) {
		CertCloseStore(store, 0);
		return 3;
	}
	print_hex("der", certificate->pbCertEncoded, certificate->cbCertEncoded);
	length = sizeof name;
	if (CertGetCertificateContextProperty(certificate, CERT_FRIENDLY_NAME_PROP_ID, name, &length))
		printf("friendly-name %ls\n", name);
	length = sizeof usage;
	if (CertGetEnhancedKeyUsage(certificate, CERT_FIND_PROP_ONLY_ENHKEY_USAGE_FLAG,
				    (PCERT_ENHKEY_USAGE)usage, &length)) {
		PCERT_ENHKEY_USAGE found = (PCERT_ENHKEY_USAGE)usage;
		for (DWORD i = 0; i < found->cUsageIdentifier; i++)
			printf("usage %s\n", found->rgpszUsageIdentifier[i]);
	}
	if (argc > 4)
		result = sign(certificate, argv[4]);
	CertFreeCertificateContext(certificate);
	CertCloseStore(store, 0);
	return result;
}
