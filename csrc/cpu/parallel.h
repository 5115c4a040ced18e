// Work on several threads: the caller's pool where it was handed over, else plain threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>

#include "../abi.h"

namespace voge {

int thread_count();

// Calls body(begin, end) on parts of [0, items) from several threads.
void run_on_threads(int64_t items, voge_body body, void* context);

// Every thread runs worker(next) once; next() deals out the numbers 0 to items - 1, then -1. State
// that a worker keeps between items is its own. The first exception of any worker is rethrown here.
template <class Worker>
void share_out(int64_t items, Worker worker) {
  struct Context {
    Worker* worker;
    int64_t items;
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;
  } context;
  context.worker = &worker;
  context.items = items;
  auto body = [](int64_t begin, int64_t end, void* raw) {
    auto& shared = *static_cast<Context*>(raw);
    try {
      for (int64_t part = begin; part < end; ++part)
        (*shared.worker)([&]() -> int64_t {
          const int64_t item = shared.next.fetch_add(1, std::memory_order_relaxed);
          return item < shared.items ? item : -1;
        });
    } catch (...) {
      if (!shared.failed.exchange(true)) shared.error = std::current_exception();
      shared.next = shared.items;
    }
  };
  const int64_t threads = thread_count() < items ? thread_count() : items;
  run_on_threads(threads, body, &context);
  if (context.failed) std::rethrow_exception(context.error);
}

}  // namespace voge
