/*
 * An independent program that goes to a portal as a browser of Windows does:
 *
 *   portal_witness HOST PORT PATH COMMON-NAME [SERIAL]
 *
 * prints what the server answers to a GET with the certificate of that name, and of that serial
 * number (hexadecimal) where one is given, out of CurrentUser\MY, whose private key signs inside the
 * store. Without a COMMON-NAME ("") none is presented. Exit code 3: no such certificate. The server's
 * own certificate is of a test's authority and is not looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <wincrypt.h>
#include <winhttp.h>

static int fail(const char *call)
{
	fprintf(stderr, "%s failed: 0x%lx\n", call, (unsigned long)GetLastError());
	return 1;
}

static int has_serial(PCCERT_CONTEXT certificate, const wchar_t *serial)
{
	const CRYPT_INTEGER_BLOB *number = &certificate->pCertInfo->SerialNumber;

	for (DWORD i = 0; i < number->cbData; i++) { /* least significant octet first */
		wchar_t octet[3];

		swprintf(octet, 3, L"%02x", number->pbData[number->cbData - 1 - i]);
		if (wcsncmp(serial + 2 * i, octet, 2) != 0)
			return 0;
	}
	return serial[2 * number->cbData] == 0;
}

static PCCERT_CONTEXT find(HCERTSTORE store, const wchar_t *name, const wchar_t *serial)
{
	PCCERT_CONTEXT found = NULL;

	do
		found = CertFindCertificateInStore(store, X509_ASN_ENCODING, 0, CERT_FIND_SUBJECT_STR_W,
						   name, found);
	while (found && serial && !has_serial(found, serial));
	return found;
}

static int ask(const wchar_t *host, int port, const wchar_t *path, PCCERT_CONTEXT certificate)
{
	DWORD unknown_authority = SECURITY_FLAG_IGNORE_UNKNOWN_CA;
	HINTERNET session, connection, request;
	char bytes[4096];
	DWORD length;

	session = WinHttpOpen(L"portal_witness", WINHTTP_ACCESS_TYPE_NO_PROXY, NULL, NULL, 0);
	if (!session)
		return fail("WinHttpOpen");
	connection = WinHttpConnect(session, host, (INTERNET_PORT)port, 0);
	if (!connection)
		return fail("WinHttpConnect");
	request = WinHttpOpenRequest(connection, L"GET", path, NULL, NULL, NULL, WINHTTP_FLAG_SECURE);
	if (!request)
		return fail("WinHttpOpenRequest");
	if (!WinHttpSetOption(request, WINHTTP_OPTION_SECURITY_FLAGS, &unknown_authority,
			      sizeof unknown_authority))
		return fail("WinHttpSetOption");
	if (!WinHttpSetOption(request, WINHTTP_OPTION_CLIENT_CERT_CONTEXT, (void *)certificate,
			      certificate ? sizeof *certificate : 0))
		return fail("WinHttpSetOption");
	if (!WinHttpSendRequest(request, NULL, 0, NULL, 0, 0, 0))
		return fail("WinHttpSendRequest");
	if (!WinHttpReceiveResponse(request, NULL))
		return fail("WinHttpReceiveResponse");
	while (WinHttpReadData(request, bytes, sizeof bytes, &length) && length > 0)
		fwrite(bytes, 1, length, stdout);
	WinHttpCloseHandle(request);
	WinHttpCloseHandle(connection);
	WinHttpCloseHandle(session);
	return 0;
}

int wmain(int count, wchar_t **arguments)
{
	PCCERT_CONTEXT certificate = NULL;
	HCERTSTORE store;
	int code;

	if (count < 5) {
		fprintf(stderr, "usage: portal_witness HOST PORT PATH COMMON-NAME [SERIAL]\n");
		return 2;
	}
	store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0,
			      CERT_SYSTEM_STORE_CURRENT_USER | CERT_STORE_READONLY_FLAG, L"MY");
	if (!store)
		return fail("CertOpenStore");
	if (arguments[4][0]) {
		certificate = find(store, arguments[4], count > 5 ? arguments[5] : NULL);
		if (!certificate)
			return 3;
	}
	code = ask(arguments[1], _wtoi(arguments[2]), arguments[3], certificate);
	if (certificate)
		CertFreeCertificateContext(certificate);
	CertCloseStore(store, 0);
	return code;
}
