/*
 * Runs a fuzz target once over each file named, and each file of each
 * directory named: every build replays the corpus, without libFuzzer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static int replay_file(const char *path, size_t size)
{
	/* Exactly its size, so that a sanitizer sees a read beyond. */
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "rb");
	int r = -1;

	if (!data || !f || fread(data, 1, size, f) != size) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		goto cleanup;
	}
	LLVMFuzzerTestOneInput(data, size);
	replayed++;
	r = 0;
cleanup:
	if (f)
		fclose(f);
	free(data);
	return r;
}

static int replay(const char *path);

static int replay_directory(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	int r = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char child[4096];

		if (entries[i]->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path,
			    entries[i]->d_name);
			if (replay(child) < 0)
				r = -1;
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode))
		return replay_directory(path);
	return replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) < 0)
			r = 1;
	}
	printf("%zu inputs replayed\n", replayed);
	/* An empty corpus is a mistake of the build, not a success. */
	return replayed ? r : 1;
}
