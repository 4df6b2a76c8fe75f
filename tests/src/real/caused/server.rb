# A server with a thread for each connection and one planted cause: `server.rb PORT CAUSE FOLDER`.
require 'socket'

PORT, CAUSE, = ARGV
MUTEX = Mutex.new

def burn(seconds)
  finish = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + seconds
  value = 0
  while Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) < finish
    100.times { |turn| value = (value * 31 + turn) & 0xffff }
  end
end

def work
  case CAUSE
  when 'burn' then burn(0.006)
  when 'mutex' then MUTEX.synchronize { sleep 0.006 }
  when 'sleep' then sleep 0.006
  end
end

def serve(client)
  client.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
  while client.gets
    nil until client.gets == "\r\n"
    work
    client.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
  end
rescue SystemCallError, IOError
  nil
ensure
  client.close
end

server = TCPServer.new('127.0.0.1', PORT.to_i)
server.listen(128)
loop { Thread.new(server.accept) { |client| serve(client) } }
