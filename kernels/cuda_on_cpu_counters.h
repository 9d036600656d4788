// What the emulator counts in a launch: accesses of the lanes of a warp to one instruction, the n-th time since the last
// barrier that each of them comes there.
#pragma once
#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cuda_on_cpu.h"

namespace emulator {
struct Counts {
    uint64_t global_loads, global_stores, shared_loads, shared_stores, requests, transactions, worst_bank_conflict, barriers;
};

struct Counters {
    Counts counts;

    void add(bool shared, uintptr_t address, unsigned bytes, Access kind, void* code, int thread, int threads, int interval) {
        bool store = kind != Access::read;
        (shared ? (store ? counts.shared_stores : counts.shared_loads) : (store ? counts.global_stores : counts.global_loads))++;
        if (visits_interval != interval) visits.clear(), visits_interval = interval;
        auto& visit = visits[(uintptr_t)code];
        visit.resize(threads);
        events.push_back({code, thread / 32, interval, visit[thread]++, shared, address, bytes, unsigned(thread & 31)});
    }
    void end_block() {
        std::sort(events.begin(), events.end());
        for (size_t i = 0, j; i < events.size(); i = j) {
            std::set<uintptr_t> sectors, banks[4][32];
            for (j = i; j < events.size() && !(events[i] < events[j]); j++) {
                const Event& e = events[j];
                if (e.shared) {  // 128 bytes at a time: wider items are served to a half or a quarter of the warp in turn
                    unsigned lanes = 32 / std::max(1u, std::min(4u, e.bytes / 4));
                    for (uintptr_t word = e.address / 4; word * 4 < e.address + e.bytes; word++)
                        banks[e.lane / lanes][word % 32].insert(word);
                } else {  // the GPU fetches sectors of 32 bytes
                    for (uintptr_t sector = e.address / 32; sector * 32 < e.address + e.bytes; sector++) sectors.insert(sector);
                }
            }
            counts.requests += !sectors.empty();
            counts.transactions += sectors.size();
            for (auto& part : banks)
                for (auto& words : part)
                    counts.worst_bank_conflict = std::max<uint64_t>(counts.worst_bank_conflict, words.size());
        }
        events.clear();
        visits.clear();
    }

private:
    struct Event {
        void* code;
        int warp, interval, visit;
        bool shared;
        uintptr_t address;
        unsigned bytes, lane;
        bool operator<(const Event& o) const {
            return std::tie(code, warp, interval, visit) < std::tie(o.code, o.warp, o.interval, o.visit);
        }
    };
    std::vector<Event> events;
    std::unordered_map<uintptr_t, std::vector<int>> visits;
    int visits_interval;
};
}  // namespace emulator
