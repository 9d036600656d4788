// The emulator's runtime: fibers and their scheduler, the checker, copies that are under way. Compiled once, without
// instrumentation, and linked to every kernel library; see cuda_on_cpu.h for the kernels' side.
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <vector>

#include "cuda_on_cpu.h"
#include "cuda_on_cpu_counters.h"
#include "cuda_on_cpu_shared.h"

using emulator::Access;
using emulator::Place;
using emulator::Registers;

namespace {
constexpr int max_threads = 1024;
constexpr unsigned max_shared = 48 << 10;  // bytes of a block, and so the most that a launch may ask for
constexpr int64_t max_printed = 16 << 10;
constexpr size_t stack_bytes = 64 << 10;
}
alignas(128) thread_local unsigned char dynamic_shared[max_shared] __asm__("dynamic_shared");
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {
enum class State { fresh, ready, at_barrier, at_warp, done };
struct Thread {
    uint3 index;
    State state;
    Place place;
    int fiber, meeting, copy_groups;
    unsigned mask;
    bool orders_memory;  // does it wait in a __syncwarp?
};
struct Fiber {
    jmp_buf where;
    ucontext_t start;
    char* stack = nullptr;
    bool started = false;
};

Thread threads[max_threads];
int seen[max_threads][32];  // of the lanes of a thread's warp: how many __syncwarps of each lie before what it does now
Fiber fibers[max_threads];
Registers handed_in[max_threads / 32][2][32];  // two meetings of a warp alternate: a slow lane still reads the first
std::vector<int> order, idle_fibers;
int n_threads, n_fibers, next_fresh, next_ready, current = -1, current_fiber, interval, block_number;
struct Copy {
    void* to;
    const void* from;  // nullptr: zeros
    unsigned bytes;
    int group;
    void* code;
};
std::vector<Copy> under_way[max_threads];
jmp_buf scheduler;
char message[1024];
void* failing_code;
Place failing_place;
int64_t printed;  // bytes, in this launch
void (*entry)(void**);
void** arguments;
uint64_t random_state;

unsigned random_number() {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return random_state >> 33;
}

const char* name_of(int thread) {
    static char text[2][96];
    static int turn;
    turn ^= 1;
    const uint3& t = threads[thread].index;
    snprintf(text[turn], sizeof text[turn], "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z,
             t.x, t.y, t.z);
    return text[turn];
}
void set_message(Place place, const char* format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    failing_place = place;
}
[[noreturn]] void abandon_block() { _longjmp(scheduler, 1); }

// ---- Fibers: one for every thread that has to wait.

// Go on with the next thread of `order` that can run: straight from one fiber to the other, the scheduler comes last.
[[noreturn]] void run_next_ready() {
    while (next_ready < n_threads) {
        int t = order[next_ready++];
        if (threads[t].state != State::ready) continue;
        threads[t].state = State::fresh;
        current = t, current_fiber = threads[t].fiber, threadIdx = threads[t].index;
        _longjmp(fibers[current_fiber].where, 1);
    }
    _longjmp(scheduler, 1);
}
// A fiber runs fresh threads one after another until one of them has to wait: a kernel without barriers is then a plain
// loop on a single stack.
void fiber_main() {
    for (;;) {
        while (next_fresh < n_threads) {
            current = order[next_fresh++];
            threads[current].fiber = current_fiber;
            threadIdx = threads[current].index;
            entry(arguments);
            threads[current].state = State::done;
        }
        idle_fibers.push_back(current_fiber);
        if (!_setjmp(fibers[current_fiber].where)) run_next_ready();
    }
}
// Run a fiber that has no thread yet: it takes fresh ones.
void run_fresh_threads(int number) {
    if (_setjmp(scheduler)) return;
    current_fiber = number;
    Fiber& fiber = fibers[number];
    if (fiber.started) _longjmp(fiber.where, 1);
    fiber.started = true;
    if (!fiber.stack)
        fiber.stack = (char*)mmap(0, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack;
    fiber.start.uc_stack.ss_size = stack_bytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, fiber_main, 0);
    setcontext(&fiber.start);
}
void wait_as(State state, Place place) {
    threads[current].state = state;
    threads[current].place = place;
    if (!_setjmp(fibers[current_fiber].where)) run_next_ready();
}

// Behind a __syncwarp the lanes of its mask, and nobody else, have before them what any of them had.
void order_lanes(int (*warp)[32], int lanes, unsigned mask) {
    int all[32] = {};
    for (int k = 0; k < lanes; k++) {
        if (!(mask >> k & 1)) continue;
        warp[k][k]++;
        for (int j = 0; j < 32; j++) all[j] = std::max(all[j], warp[k][j]);
    }
    for (int k = 0; k < lanes; k++)
        if (mask >> k & 1) memcpy(warp[k], all, sizeof all);
}

// ---- The scheduler: run whoever can run; when nobody can, open the barriers whose threads are all there.
bool open_warp_meetings() {
    bool opened = false;
    for (int t = 0; t < n_threads; t++) {
        if (threads[t].state != State::at_warp) continue;
        int warp = t & ~31, lanes = std::min(32, n_threads - warp);
        unsigned mask = threads[t].mask;
        bool complete = true;
        for (int k = 0; k < lanes; k++)
            if (mask >> k & 1) complete &= threads[warp + k].state == State::at_warp && threads[warp + k].mask == mask;
        for (int k = 0; complete && k < lanes; k++)
            if (mask >> k & 1) threads[warp + k].state = State::ready;
        if (complete && threads[t].orders_memory) order_lanes(seen + warp, lanes, mask);
        opened |= complete;
    }
    return opened;
}
int count(State state) {
    return std::count_if(threads, threads + n_threads, [=](const Thread& t) { return t.state == state; });
}
void open_block_barrier() {
    int done = count(State::done);
    for (int t = 0; t < n_threads; t++)
        if (threads[t].state == State::at_warp)
            return set_message(threads[t].place,
                               "incomplete mask: %s waits in a warp operation with mask 0x%08x for lanes that never come",
                               name_of(t), threads[t].mask);
    int first = -1;
    for (int t = 0; t < n_threads; t++) {
        if (threads[t].state != State::at_barrier) continue;
        if (first < 0) first = t;
        if (done)
            return set_message(threads[t].place, "barrier divergence: %s waits at __syncthreads, %d of %d threads returned",
                               name_of(t), done, n_threads);
        if (threads[t].place.line != threads[first].place.line)
            return set_message(threads[t].place, "barrier divergence: %s is at this __syncthreads, others at line %d",
                               name_of(t), threads[first].place.line);
    }
    interval++;
    for (int t = 0; t < n_threads; t++) threads[t].state = State::ready;
}
void run_block() {
    for (int t = 0; t < n_threads; t++) {
        threads[t].state = State::fresh;
        threads[t].meeting = threads[t].copy_groups = 0;
        under_way[t].clear();
    }
    next_fresh = interval = 0;
    if (random_state)
        for (int i = n_threads - 1; i > 0; i--) std::swap(order[i], order[random_number() % (i + 1)]);
    while (!message[0]) {
        while (next_fresh < n_threads && !message[0]) {
            if (idle_fibers.empty()) idle_fibers.push_back(n_fibers++);
            int fiber = idle_fibers.back();
            idle_fibers.pop_back();
            next_ready = n_threads;
            run_fresh_threads(fiber);
        }
        next_ready = 0;
        if (!message[0] && !_setjmp(scheduler)) run_next_ready();
        if (message[0] || count(State::done) == n_threads) return;
        if (!open_warp_meetings()) open_block_barrier();
    }
}

// ---- The checker: what happened last to every cell of memory (one item of an array, 4 bytes of shared memory).
struct Stamp {
    int block = 0, thread, interval, warp_interval;  // block 0: never; these count barriers and the thread's __syncwarps
};
struct Cell {
    Stamp write, read, other_read;  // other_read: by another thread than `read`; of an array, of another block if any
    bool atomic = false;
};
struct Region {
    uintptr_t low, high;
    bool shared;
    unsigned cell_bytes;
    std::vector<Cell> cells;
};
std::vector<Region> regions;
uintptr_t image_low, image_high, tls_low, tls_high;
bool checking, counting;
emulator::Counters counters;
emulator::SharedMemory shared_memory;

// Is that access of the past ordered before what the current thread does now?
bool is_ordered(const Stamp& s) {
    if (s.block != block_number) return false;
    bool same_warp = s.thread / 32 == current / 32;
    return s.thread == current || s.interval != interval ||
           (same_warp && s.warp_interval < seen[current][s.thread % 32]);
}
bool conflicts(const Stamp& s, bool shared) {
    return s.block && (!shared || s.block == block_number) && !is_ordered(s);
}
[[noreturn]] void fail_at(void* code) {
    failing_code = code;
    abandon_block();
}
[[noreturn]] void fail_race(const Region& r, uintptr_t address, const char* verb, const char* past, const Stamp& s, void* code) {
    set_message({}, "data race: %s %s %s byte %ld, %s by thread %d of %s block with no barrier in between", name_of(current),
                verb, r.shared ? "shared memory," : "an array argument,", long(address - r.low), past, s.thread,
                s.block == block_number ? "the same" : "another");
    fail_at(code);
}
// A kernel has a shared array when it first writes there: nothing can be read before.
void count_array(uintptr_t address, void* code) {
    if (address - (uintptr_t)dynamic_shared < max_shared) return;
    if (!shared_memory.exceeds(address - tls_low, max_shared)) return;
    set_message({}, "too much shared memory: %s writes to arrays of %u bytes in all, and the launch asks for %u more; a block "
                "has %u", name_of(current), shared_memory.arrays, shared_memory.dynamic, max_shared);
    fail_at(code);
}
void check_cell(Region& r, Cell& cell, uintptr_t address, Access kind, const char* verb, void* code) {
    Stamp now{block_number, current, interval, seen[current][current % 32]};
    if (r.shared && kind != Access::write && cell.write.block != block_number) {
        set_message({}, "uninitialised: %s %s shared memory, byte %ld, which no thread of the block has written",
                    name_of(current), verb, long(address - r.low));
        fail_at(code);
    }
    if (!(kind == Access::atomic && cell.atomic) && conflicts(cell.write, r.shared))
        fail_race(r, address, verb, "written", cell.write, code);
    if (kind == Access::read) {
        bool same = cell.read.block == now.block && cell.read.thread == now.thread;
        bool keep_foreign = !r.shared && cell.other_read.block && cell.other_read.block != now.block;
        if (!same && !keep_foreign) cell.other_read = cell.read;
        cell.read = now;
        return;
    }
    for (const Stamp* s : {&cell.read, &cell.other_read})
        if (conflicts(*s, r.shared)) fail_race(r, address, verb, "read", *s, code);
    if (r.shared && !cell.write.block) count_array(address, code);
    cell.write = now;
    cell.atomic = kind == Access::atomic;
}
Region* find_region(uintptr_t address) {
    static size_t last;
    if (last < regions.size() && address >= regions[last].low && address < regions[last].high) return &regions[last];
    for (last = 0; last < regions.size(); last++)
        if (address >= regions[last].low && address < regions[last].high) return &regions[last];
    return nullptr;
}

void on_access(uintptr_t address, unsigned bytes, Access kind, void* code) {
    if (!checking || current < 0) return;
    if (address - (uintptr_t)fibers[current_fiber].stack < stack_bytes) return;  // a local variable
    static const char* verbs[] = {"reads", "writes", "atomically updates"};
    const char* verb = verbs[int(kind)];
    Region* r = find_region(address);
    if (!r || address + bytes > r->high) {
        if (!r && address >= image_low && address < image_high) {
            if (kind == Access::read) return;  // threadIdx, __constant__ tables
            set_message({}, "not emulated: %s %s a variable that is neither its own nor shared (__device__, static)",
                        name_of(current), verb);
            fail_at(code);
        }
        const Region* nearest = nullptr;
        long distance = 0;
        for (auto& n : regions) {
            long d = address < n.low ? n.low - address : address - n.high;
            if (!nearest || d < distance) nearest = &n, distance = d;
        }
        set_message({}, "out of bounds: %s %s %u bytes, %ld bytes %s of %s", name_of(current), verb, bytes, std::abs(distance),
                    nearest && address >= nearest->high ? "past the end" : "before the start",
                    nearest && nearest->shared ? "shared memory" : "an array argument");
        fail_at(code);
    }
    if (counting) counters.add(r->shared, address, bytes, kind, code, current, n_threads, interval);
    for (uintptr_t c = (address - r->low) / r->cell_bytes; c <= (address + bytes - 1 - r->low) / r->cell_bytes; c++)
        check_cell(*r, r->cells[c], address, kind, verb, code);
}

int find_image(dl_phdr_info* info, size_t, void* dynamic_bytes) {
    uintptr_t low = ~uintptr_t(0), high = 0, tls = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        auto& p = info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p.p_vaddr;
        if (p.p_type == PT_LOAD) low = std::min(low, start), high = std::max<uintptr_t>(high, start + p.p_memsz);
        if (p.p_type == PT_TLS) tls = p.p_memsz;
    }
    if ((uintptr_t)&find_image < low || (uintptr_t)&find_image >= high) return 0;
    image_low = low, image_high = high;
    tls_low = (uintptr_t)info->dlpi_tls_data, tls_high = tls_low + tls;
    shared_memory.start(info->dlpi_name, *(unsigned*)dynamic_bytes);
    return 1;
}
void add_region(uintptr_t low, uintptr_t high, bool shared, unsigned cell_bytes) {
    if (high <= low) return;
    regions.push_back({low, high, shared, cell_bytes, {}});
    if (checking) regions.back().cells.resize((high - low + cell_bytes - 1) / cell_bytes);
}
void find_regions(void* const* arrays, const uint64_t* bytes, const uint64_t* item_bytes, int n_arrays,
                  unsigned dynamic_bytes) {
    *(volatile unsigned char*)dynamic_shared = 0;  // so that the thread-local segment exists before it is looked for
    dl_iterate_phdr(find_image, &dynamic_bytes);
    for (int i = 0; i < n_arrays; i++)
        add_region((uintptr_t)arrays[i], (uintptr_t)arrays[i] + bytes[i], false, std::min<unsigned>(8, item_bytes[i]));
    uintptr_t dynamic = (uintptr_t)dynamic_shared;
    add_region(dynamic, dynamic + dynamic_bytes, true, 4);
    add_region(tls_low, dynamic, true, 4);
    add_region(dynamic + max_shared, tls_high, true, 4);
}
}  // namespace

namespace emulator {
void block_barrier(Place place) { counters.counts.barriers++, wait_as(State::at_barrier, place); }
int lane() { return current & 31; }
// What a kernel prints: to the process's output, up to so many bytes of each launch.
int print(const char* format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (length > 0 && (printed += length) <= max_printed) fwrite(text, 1, length < 511 ? length : 511, stdout), fflush(stdout);
    return length;
}
void report_access(const void* p, unsigned bytes, Access kind, void* code) { on_access((uintptr_t)p, bytes, kind, code); }
const Registers* warp_meeting(unsigned mask, const Registers& own, Place place, bool orders_memory) {
    Thread& t = threads[current];
    if (!(mask >> lane() & 1)) {
        set_message(place, "incomplete mask: %s calls a warp operation with mask 0x%08x, without itself", name_of(current), mask);
        abandon_block();
    }
    Registers* slot = handed_in[current / 32][t.meeting ^= 1];
    slot[lane()] = own;
    t.mask = mask, t.orders_memory = orders_memory;
    wait_as(State::at_warp, place);
    return slot;
}
void bad_source_lane(int source, Place place) {
    set_message(place, "incomplete mask: %s reads lane %d, which its mask leaves out", name_of(current), source);
    abandon_block();
}

// A copy that is under way may arrive at any time until its thread has waited for it: until then its place holds NaN, and
// for the checker it writes both now and at the wait.
void start_copy(void* to, const void* from, unsigned bytes, void* code) {
    if (checking && (!find_region((uintptr_t)to) || !find_region((uintptr_t)to)->shared)) {
        set_message({}, "out of bounds: %s copies to a place that is not shared memory", name_of(current));
        fail_at(code);
    }
    for (uintptr_t address : {(uintptr_t)to, (uintptr_t)from})
        if (checking && address % bytes) {
            set_message({}, "misaligned: %s copies %u bytes at once to or from what begins %u bytes past a multiple of that",
                        name_of(current), bytes, unsigned(address % bytes));
            fail_at(code);
        }
    if (from) on_access((uintptr_t)from, bytes, Access::read, code);
    on_access((uintptr_t)to, bytes, Access::write, code);
    memset(to, 0xff, bytes);
    under_way[current].push_back({to, from, bytes, threads[current].copy_groups, code});
}
void commit_copies() { threads[current].copy_groups++; }
void wait_for_copies(int groups_left) {
    std::vector<Copy>& copies = under_way[current];
    int groups = threads[current].copy_groups - groups_left;
    size_t done = 0;
    for (; done < copies.size() && copies[done].group < groups; done++) {
        const Copy& c = copies[done];
        on_access((uintptr_t)c.to, c.bytes, Access::write, c.code);
        c.from ? memcpy(c.to, c.from, c.bytes) : memset(c.to, 0, c.bytes);
    }
    copies.erase(copies.begin(), copies.begin() + done);
}
}  // namespace emulator

// ---- What the compiler calls (-fsanitize=thread, bounds, alignment) and what Python calls.
#define HOOK(name, bytes, kind) \
    extern "C" void name(void* p) { on_access((uintptr_t)p, bytes, Access::kind, __builtin_return_address(0)); }
#define HOOKS(n) HOOK(__tsan_read##n, n, read) HOOK(__tsan_write##n, n, write) \
    HOOK(__tsan_unaligned_read##n, n, read) HOOK(__tsan_unaligned_write##n, n, write)
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
extern "C" void __tsan_read_range(void* p, size_t n) {
    on_access((uintptr_t)p, n, Access::read, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* p, size_t n) {
    on_access((uintptr_t)p, n, Access::write, __builtin_return_address(0));
}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
struct SourceLocation { const char* file; unsigned line, column; };
extern "C" void __ubsan_handle_out_of_bounds(SourceLocation* source, size_t index) {
    if (current < 0) return;
    set_message({source->file, int(source->line)}, "out of bounds: %s uses index %ld of an array", name_of(current), long(index));
    abandon_block();
}
struct Mismatch { SourceLocation source; const void* type; unsigned char log_of_alignment, kind; };
extern "C" void __ubsan_handle_type_mismatch_v1(Mismatch* data, uintptr_t address) {
    if (current < 0 || !checking) return;
    unsigned bytes = 1u << data->log_of_alignment;
    set_message({data->source.file, int(data->source.line)},
                "misaligned: %s takes for a pack what begins %u bytes past a multiple of %u", name_of(current),
                unsigned(address % bytes), bytes);
    abandon_block();
}

// geometry: grid x y z, block x y z. Returns 0, or 1 with a message.
extern "C" int emulator_launch(void (*kernel)(void**), void** values, const unsigned* geometry, unsigned dynamic_bytes,
                               void* const* arrays, const uint64_t* bytes, const uint64_t* item_bytes, int n_arrays,
                               uint64_t seed, int check, int count) {
    message[0] = 0, failing_code = nullptr, failing_place = {}, counters = {}, printed = 0;
    entry = kernel, arguments = values, random_state = seed, checking = check, counting = count;
    gridDim = {geometry[0], geometry[1], geometry[2]}, blockDim = {geometry[3], geometry[4], geometry[5]};
    n_threads = blockDim.x * blockDim.y * blockDim.z;
    order.resize(n_threads);
    for (int t = 0; t < n_threads; t++) {
        order[t] = t;
        threads[t].index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    }
    memset(seen, 0, n_threads * sizeof seen[0]);
    regions.clear();
    if (checking) find_regions(arrays, bytes, item_bytes, n_arrays, dynamic_bytes);
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z, first = seed ? random_number() % blocks : 0;
    for (uint64_t i = 0; i < blocks && !message[0]; i++) {
        uint64_t b = (first + i) % blocks;
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y), unsigned(b / gridDim.x / gridDim.y)};
        block_number = int(b) + 1;
        for (auto& r : regions)
            if (r.shared) memset((void*)r.low, 0xff, r.high - r.low);  // NaN: values of an earlier block must not help
        run_block();
        if (counting) counters.end_block();
    }
    current = -1;
    if (message[0]) {  // abandoned fibers hold threads that will never return
        idle_fibers.clear();
        n_fibers = 0;
        for (auto& f : fibers) f.started = false;
    }
    return message[0] != 0;
}
extern "C" const char* emulator_message() { return message; }
extern "C" const char* emulator_file() { return failing_place.file; }
extern "C" int emulator_line() { return failing_place.line; }
extern "C" uint64_t emulator_code_offset() { return failing_code ? (uintptr_t)failing_code - 1 - image_low : 0; }
extern "C" const emulator::Counts* emulator_counts() { return &counters.counts; }
