/**
 * Loaded into a server under test with `node --import`: takes from Node what is not documented and
 * what the server uses all the same (src/server/net/node-internals.ts), as another release of Node could.
 * HIDE_INTERNALS names it: words with blanks between them.
 */
import net from 'node:net'
import process from 'node:process'
import tls from 'node:tls'

/** Calls `change` with each server once it listens, before anybody else looks at it. */
function whenListening(change) {
  const { listen } = net.Server.prototype
  net.Server.prototype.listen = function (...options) {
    this.prependOnceListener('listening', () => change(this))
    return listen.apply(this, options)
  }
}

/** Of what a listening server keeps in `_handle`, everything but `names`. */
function hideOfHandle(...names) {
  whenListening((server) => {
    const handle = server._handle
    server._handle = new Proxy(handle, {
      get(_, name) {
        if (names.includes(name)) return undefined
        const value = handle[name]
        return typeof value === 'function' ? value.bind(handle) : value
      },
    })
  })
}

/** Of all handles, `name`. */
function hideOfClass(name) {
  whenListening((server) => {
    Object.defineProperty(Object.getPrototypeOf(server._handle), name, { value: undefined })
  })
}

/** Sockets are made from `options` without some of them. */
function hideOptions(without) {
  const { Socket } = net
  net.Socket = class extends Socket {
    constructor(options) {
      super(without(options))
    }
  }
}

const final = net.Socket.prototype._final

const HIDE = {
  onconnection: () => hideOfHandle('onconnection'),
  pause: () => hideOfHandle('readStart', 'readStop'),
  'socket-handle': () => hideOptions(({ handle: _, ...options }) => options),
  onread: () => hideOptions(({ onread: _, ...options }) => options),
  /** A socket that is given a function for its buffers asks it once. */
  'next-buffer': () =>
    hideOptions(({ onread, ...options }) => {
      const { buffer } = onread ?? {}
      return typeof buffer === 'function'
        ? { ...options, onread: { ...onread, buffer: buffer() } }
        : { ...options, onread }
    }),
  'write-queue-size': () => hideOfClass('writeQueueSize'),
  /** Node writes in another way: what it is given as bytes it passes on as a string. */
  'write-buffer': () => {
    net.Socket.prototype._write = function (bytes, _encoding, done) {
      this._writeGeneric(false, bytes.toString('latin1'), 'latin1', done)
    }
    net.Socket.prototype._writev = null
  },
  'bound-socket': () => {
    net.BoundSocket = undefined
  },
  'server-handle': () => {
    net._createServerHandle = undefined
  },
  'bytes-read': () => hideOfClass('bytesRead'),
  /** Sockets end in another way: their handles are not asked for it. */
  'shutdown-request': () => {
    net.Socket.prototype._final = function (done) {
      const handle = this._handle
      if (typeof handle?.getpeername === 'function') final.call(this, done)
      else done()
    }
  },
  'tls-use-user-buffer': () => {
    const { _handle: handle } = new tls.TLSSocket(new net.Socket())
    Object.defineProperty(Object.getPrototypeOf(handle), 'useUserBuffer', { value: undefined })
  },
  /** Encryption is put on the handles of TLS sockets alone. */
  'tls-wrap': () => {
    const { _wrapHandle: wrap } = tls.TLSSocket.prototype
    tls.TLSSocket.prototype._wrapHandle = function (...given) {
      if (!(this instanceof tls.TLSSocket)) throw new TypeError('not a TLS socket')
      return wrap.apply(this, given)
    }
  },
  'ticket-callback': () => {
    const { context } = tls.createSecureContext()
    Object.getPrototypeOf(context).enableTicketKeyCallback = undefined
  },
  initgroups: () => {
    process.initgroups = undefined
  },
}

for (const name of (process.env.HIDE_INTERNALS ?? '').split(' ')) HIDE[name]?.()
