// How much shared memory a kernel has. A library holds the shared arrays of all its kernels in one segment; a block has
// those that its own kernel works with, each whole. Where they lie tells the library's table of symbols.
#pragma once
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace emulator {
struct SharedArray {
    uintptr_t place, bytes;  // place: in the segment
    bool used;               // in this launch
};

// Of a library without a table, none.
inline std::vector<SharedArray> shared_arrays(const char* library) {
    std::vector<SharedArray> found;
    int file = open(library, O_RDONLY | O_CLOEXEC);
    struct stat status = {};
    if (file >= 0) fstat(file, &status);
    void* content = status.st_size ? mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    if (file >= 0) close(file);
    if (content == MAP_FAILED) return found;
    const char* start = (const char*)content;
    auto* header = (const ElfW(Ehdr)*)start;
    auto* sections = (const ElfW(Shdr)*)(start + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        auto* symbols = (const ElfW(Sym)*)(start + sections[i].sh_offset);
        for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols; k++)
            if (ELF64_ST_TYPE(symbols[k].st_info) == STT_TLS)
                found.push_back({symbols[k].st_value, symbols[k].st_size, false});
    }
    munmap(content, status.st_size);
    return found;
}

// What a launch has, as far as its kernel has come.
struct SharedMemory {
    unsigned arrays, dynamic;  // bytes

    void start(const char* library, unsigned dynamic_bytes) {
        if (all.empty()) all = shared_arrays(library);
        for (SharedArray& a : all) a.used = false;
        arrays = 0, dynamic = dynamic_bytes;
    }
    // An access to that place of the segment; is there now more than `limit`?
    bool exceeds(uintptr_t place, unsigned limit) {
        for (SharedArray& a : all)
            if (!a.used && place - a.place < a.bytes) a.used = true, arrays += a.bytes;
        return arrays + dynamic > limit;
    }

private:
    std::vector<SharedArray> all;  // of the library
};
}  // namespace emulator
