/* A disk that refuses calls, by LD_PRELOAD: POOR="flock:37 fsync-folder:22" names calls and what they set errno to,
   for paths that hold $POOR_IN. Each refusal is a line of $POOR_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int refused(const char *call, const char *path)
{
    const char *list = getenv("POOR"), *in = getenv("POOR_IN"), *log = getenv("POOR_LOG");
    size_t length = strlen(call);
    for (; list && in && strstr(path, in); list = strchr(list, ' ')) {
        list += strspn(list, " ");
        if (strncmp(list, call, length) || list[length] != ':')
            continue;
        int file = log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
        if (file >= 0) {
            syscall(SYS_write, file, call, length);
            syscall(SYS_write, file, "\n", 1);
            syscall(SYS_close, file);
        }
        errno = atoi(list + length + 1);
        return 1;
    }
    return 0;
}

static int refused_file(const char *call, int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return refused(call, path);
}

int fsync(int file)
{
    struct stat about;
    int folder = !fstat(file, &about) && S_ISDIR(about.st_mode);
    return refused_file("fsync", file) || (folder && refused_file("fsync-folder", file)) ? -1 : REAL(fsync)(file);
}

int flock(int file, int how)
{
    return refused_file("flock", file) ? -1 : ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, how);
}

ssize_t write(int file, const void *content, size_t length)
{
    return refused_file("write", file) ? -1 : REAL(write)(file, content, length);
}

int mkdir(const char *path, mode_t mode)
{
    return refused("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    return refused("rename", from) ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to)
{
    return refused("link", to) ? -1 : REAL(link)(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return refused("link", to) ? -1 : REAL(linkat)(from_folder, from, to_folder, to, flags);
}

int symlink(const char *from, const char *to)
{
    return refused("symlink", to) ? -1 : REAL(symlink)(from, to);
}

int symlinkat(const char *from, int folder, const char *to)
{
    return refused("symlink", to) ? -1 : REAL(symlinkat)(from, folder, to);
}

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...)                         \
    {                                                                  \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;      \
        va_end(more);                                                  \
        if (flags & O_CREAT && refused("create", path))                \
            return -1;                                                 \
        return REAL(name)(path, flags, mode);                          \
    }
OPEN(open)
OPEN(open64)
